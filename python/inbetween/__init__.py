"""The in-between of two latents, pictures or prompts: libinbetween for Python.

Latents are numpy arrays of float32. One latent has the shape that its space gives it (`Shape.array`): [rows, cols, D] of a grid,
[T, D] of a sequence, [D] of a single embedding. Errors are exceptions with the library's sentence (`inbetween.errors`).
An object belongs to one thread at a time (`BusyError`); the interpreter's lock is released while the library works.
"""

from __future__ import annotations

from ._library import version
from .adapter import Adapter, AdapterInfo, Strengths
from .errors import Error
from .latent_file import Guides, GuideWindow, LatentFile, LatentInfo, LatentWriter
from .shape import Shape
from .space import Space, slerp

__all__ = [
    "Adapter",
    "AdapterInfo",
    "Error",
    "GuideWindow",
    "Guides",
    "LatentFile",
    "LatentInfo",
    "LatentWriter",
    "Shape",
    "Space",
    "Strengths",
    "slerp",
    "version",
]
