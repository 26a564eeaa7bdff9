"""The in-between of two latents, pictures or prompts: libinbetween for Python.

Latents are numpy arrays of float32. One latent has the shape that its space gives it (`Shape.array`): [rows, cols, D] of a grid,
[T, D] of a sequence, [D] of a single embedding. Errors are exceptions with the library's sentence (`inbetween.errors`).
"""

from __future__ import annotations

from ._library import version
from .errors import Error

__all__ = ["Error", "version"]
