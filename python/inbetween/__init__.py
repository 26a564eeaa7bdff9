"""The in-between of two latents, pictures or prompts: libinbetween for Python.

Latents are numpy arrays of float32. One latent has the shape that its space gives it (`Shape.array`): [rows, cols, D] of a grid,
[T, D] of a sequence, [D] of a single embedding. Errors are exceptions with the library's sentence (`inbetween.errors`).
An object belongs to one thread at a time (`BusyError`); the interpreter's lock is released while the library works. Nothing prints:
warnings are Python's, what else the library says goes to the log "inbetween", and FFmpeg is told to be quiet in this process.
"""

from __future__ import annotations

from ._library import version
from .adapter import Adapter, AdapterInfo, Strengths
from .encoding import EncodeProgress, EncodeResult, encode, encode_file
from .errors import Error
from .evaluation import EvalProgress, evaluate, plot_curve
from .latent_file import Guides, GuideWindow, LatentFile, LatentInfo, LatentWriter
from .rendering import Renderer, RenderProgress, RenderResult, render, write_film
from .shape import Shape
from .space import Space, slerp
from .training import TrainProgress, TrainResult, train

__all__ = [
    "Adapter",
    "AdapterInfo",
    "EncodeProgress",
    "EncodeResult",
    "Error",
    "EvalProgress",
    "GuideWindow",
    "Guides",
    "LatentFile",
    "LatentInfo",
    "LatentWriter",
    "RenderProgress",
    "RenderResult",
    "Renderer",
    "Shape",
    "Space",
    "Strengths",
    "TrainProgress",
    "TrainResult",
    "encode",
    "encode_file",
    "evaluate",
    "plot_curve",
    "render",
    "slerp",
    "train",
    "version",
    "write_film",
]
