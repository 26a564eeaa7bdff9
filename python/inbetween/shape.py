"""Shapes of latents, and arrays on their way into the library."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._library import ffi, lib
from .errors import ArgumentError, MismatchError, NonfiniteError

Floats = NDArray[np.float32]
MOST_THREADS = 1024  # OpenMP ends the process where it cannot have as many as are asked for
LAYOUTS = ("grid", "sequence", "single")  # in the order of ib_layout


@dataclass(frozen=True)
class Shape:
    """What one latent is: T = rows * cols tokens of D = width numbers."""

    layout: str  # "grid", "sequence" or "single"
    rows: int  # 1 but of a grid
    cols: int  # of a sequence T, of a single embedding 1
    width: int  # D

    @property
    def tokens(self) -> int:
        """T."""
        return self.rows * self.cols

    @property
    def array(self) -> tuple[int, ...]:
        """Of one latent's array: [rows, cols, D], [T, D] or [D]."""
        if self.layout == "grid":
            return (self.rows, self.cols, self.width)
        return (self.cols, self.width) if self.layout == "sequence" else (self.width,)

    @staticmethod
    def of_array(layout: str, array: tuple[int, ...]) -> Shape:
        """The shape of which `array` is the array's; ArgumentError if it is none of that layout."""
        rank = {"grid": 3, "sequence": 2, "single": 1}.get(layout)
        if rank is None:
            raise ArgumentError(f"layout: is {layout!r}: it is 'grid', 'sequence' or 'single'")
        if len(array) != rank or not all(0 < n < 1 << 24 for n in array):
            raise ArgumentError(f"a latent of layout {layout} has {rank} axes, none empty: not the shape {array}")
        rows, cols = ((1, 1) + array[:-1])[-2:]
        return Shape(layout, rows, cols, array[-1])

    @staticmethod
    def of_struct(raw: Any) -> Shape:
        """Of an ib_shape."""
        return Shape(LAYOUTS[raw.layout], raw.rows, raw.cols, raw.width)

    def fill(self, raw: Any) -> None:
        """Into an ib_shape."""
        raw.layout, raw.rows, raw.cols = LAYOUTS.index(self.layout), self.rows, self.cols
        raw.tokens, raw.width = self.tokens, self.width

    def batch_of(self, array: NDArray[Any], name: str) -> tuple[int, ...]:
        """The axes of `array` before a latent's own; MismatchError if it does not end in one."""
        rank = len(self.array)
        if array.shape[-rank:] != self.array:
            raise MismatchError(f"{name}: has the shape {list(array.shape)}: a latent here is {list(self.array)}")
        return array.shape[:-rank]


def floats(value: ArrayLike, name: str) -> Floats:
    """`value` as a contiguous float32 array: itself if it is one, else a copy. TypeError unless its numbers are of a floating
    type, NonfiniteError with NaN or infinity in it."""
    array = np.asarray(value)
    if array.dtype.kind != "f":
        raise TypeError(f"{name}: has the dtype {array.dtype}: it is to be float32, float16 or float64")
    if array.dtype != np.float32:
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
    if not array.flags.carray:  # carray: contiguous, aligned and writeable
        array = np.require(array, np.float32, ["C", "A"])
    if not lib.ib_params_finite(pointer(array), array.size):
        raise NonfiniteError(f"{name}: has NaN or infinity in it")
    return array


def numbers(value: ArrayLike, name: str) -> NDArray[np.float64]:
    """One or several real numbers, as times and places are; whole ones too."""
    if type(value) is float and math.isfinite(value):  # what most calls have
        return np.array(value)
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name}: has the dtype {array.dtype}: it is to be numbers")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise NonfiniteError(f"{name}: has NaN or infinity in it")
    return array


def pointer(array: Floats) -> Any:
    """float * to a contiguous array, which it keeps alive."""
    return ffi.from_buffer("float[]", array)


def choice(value: str, words: tuple[str, ...], name: str) -> int:
    """The number of a word; ArgumentError with the list for another one."""
    if value not in words:
        raise ArgumentError(f"{name}: is {value!r}: it is one of {', '.join(words)}")
    return words.index(value)


def whole(value: int, name: str, least: int, most: int) -> int:
    """`value`, a whole number in a range; TypeError or ArgumentError."""
    number = value.__index__() if hasattr(value, "__index__") else None
    if number is None:
        raise TypeError(f"{name}: is {value!r}: it is to be a whole number")
    if not least <= number <= most:
        raise ArgumentError(f"{name}: is {number}: it is to be from {least} to {most}")
    return number


def pair(value: Any, name: str, least: int, most: int) -> tuple[int, int]:
    """Two whole numbers in a range; TypeError or ArgumentError."""
    numbers_given = list(value) if isinstance(value, (tuple, list)) else []
    if len(numbers_given) != 2:
        raise TypeError(f"{name}: is {value!r}: it is to be two whole numbers")
    first, second = (whole(number, name, least, most) for number in numbers_given)
    return first, second


def threads_of(value: int) -> int:
    """A number of threads; 0: as many as there are processors."""
    return whole(value, "threads", 0, MOST_THREADS)
