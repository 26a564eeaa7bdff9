"""Pictures as arrays: [H, W, 3] uint8, RGB."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._library import call, ffi, lib
from .errors import ArgumentError

Pictures = NDArray[np.uint8]
BT709 = 1  # IB_MATRIX_BT709, what RGB becomes


def pictures(value: ArrayLike, name: str) -> Pictures:
    """`value` as contiguous uint8 [..., H, W, 3]. TypeError for another dtype, ArgumentError for another shape."""
    array = np.asarray(value)
    if array.dtype != np.uint8:
        raise TypeError(f"{name}: has the dtype {array.dtype}: pictures are uint8")
    if array.ndim < 3 or array.shape[-1] != 3 or not all(1 <= n <= 16384 for n in array.shape[-3:-1]):
        raise ArgumentError(f"{name}: has the shape {list(array.shape)}: a picture is [H, W, 3], sides from 1 to 16384")
    return np.require(array, np.uint8, ["C", "A"])


@contextmanager
def frame_of(picture: Pictures) -> Iterator[Any]:
    """An ib_frame with the picture in it, RGB too, for the length of a with statement. picture: [H, W, 3]"""
    height, width = picture.shape[:2]
    with empty_frame(width, height, rgb=True) as frame:
        call(lib.ib_frame_from_rgb, frame, ffi.from_buffer("uint8_t[]", picture))
        rows = ffi.buffer(frame.rgb, frame.rgb_stride * height)
        np.frombuffer(rows, np.uint8).reshape(height, -1)[:, : 3 * width] = picture.reshape(height, 3 * width)
        yield frame


@contextmanager
def empty_frame(width: int, height: int, rgb: bool = False) -> Iterator[Any]:
    """An ib_frame of that size, BT.709, at time 0."""
    frame = ffi.new("ib_frame *")
    call(lib.ib_frame_alloc_rgb if rgb else lib.ib_frame_alloc, frame, width, height)
    frame.matrix, frame.pts_seconds, frame.index = BT709, 0.0, 0
    try:
        yield frame
    finally:
        lib.ib_frame_free(frame)


def picture_of(frame: Any) -> Pictures:
    """The picture in an ib_frame. [H, W, 3]"""
    picture = np.empty((frame.height, frame.width, 3), np.uint8)
    call(lib.ib_frame_to_rgb, frame, ffi.from_buffer("uint8_t[]", picture))
    return picture
