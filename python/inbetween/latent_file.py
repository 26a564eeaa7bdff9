"""Latent files: read them, and write latents made elsewhere through the library's own writer."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import Any, Iterator, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._library import Closing, Handle, call, encoded, ffi, lib, text_of
from .errors import ArgumentError, MismatchError
from .shape import Floats, Shape, floats, numbers, pointer, whole
from .space import Space

Path = str | os.PathLike[str]


@dataclass(frozen=True)
class LatentInfo:
    """What a latent file says of itself."""

    space_id: str
    shape: Shape
    frames: int  # N
    fps: float  # of the frames kept
    every: int  # every n-th frame of the source was kept
    picture_size: tuple[int, int]  # width and height of the frames that were encoded, px
    source: str  # base name of the source
    source_sha256: str  # empty: not known


class Guides(NamedTuple):
    """What the space makes of the keyframes carried to in-betweens, and what the pixel model says of them."""

    pictures: Floats  # [..., 2, latent]: the first keyframe carried there, then the last one
    features: Floats  # [..., 8], latent/guides.h


class GuideWindow(NamedTuple):
    """Keyframes `first` and first + gap, whose in-betweens have the guides at to at + gap - 2."""

    first: int
    gap: int
    at: int


class LatentFile(Closing):
    """An open latent file. A sequence of its latents: file[3], file[2:9], for z in file. One thread at a time; `with` closes it."""

    def __init__(self, path: Path):
        out = ffi.new("ib_latent_file **")
        call(lib.ib_latent_open, out, encoded(path))
        self.path = os.fspath(path)
        self._handle = Handle("ib_latent_file", out[0], lib.ib_latent_close, str(self.path))
        with self._handle.use() as file:
            raw = lib.ib_latent_info_of(file)
            n = raw.frames
            self.info = LatentInfo(
                text_of(raw.space_id),
                Shape.of_struct(raw.shape),
                n,
                raw.fps,
                raw.every,
                (raw.frame_width, raw.frame_height),
                os.fsdecode(ffi.string(raw.source)),
                text_of(raw.source_sha256),
            )
            self.times: NDArray[np.float64] = _copy(lib.ib_latent_pts(file), "double", n, np.float64)  # [N] seconds
            self.cuts: NDArray[np.bool_] = _copy(lib.ib_latent_cuts(file), "uint8_t", n, np.uint8) != 0  # [N] a shot begins
            self.guide_model = ""  # id of the pixel model of the guides; empty: there are none
            self.guide_windows: list[GuideWindow] = []
            table = lib.ib_latent_guides(file)
            if table:
                self.guide_model = text_of(table.model)
                self.guide_windows = [GuideWindow(w.first, w.gap, w.at) for w in (table.window[i] for i in range(table.windows))]
                size = table.guides * lib.IB_GUIDE_FEATURES
                self._features = _copy(table.feature, "float", size, np.float32).reshape(table.guides, lib.IB_GUIDE_FEATURES)

    @property
    def space_id(self) -> str:
        return self.info.space_id

    @property
    def shape(self) -> Shape:
        """Of one latent."""
        return self.info.shape

    def __len__(self) -> int:
        return self.info.frames

    def read(self, first: int = 0, count: int | None = None) -> Floats:
        """`count` latents from `first`; None: to the end. -> [count, latent]"""
        first = whole(first, "first", 0, len(self))
        count = len(self) - first if count is None else whole(count, "count", 0, len(self) - first)
        z = np.empty((count,) + self.shape.array, np.float32)
        with self._handle.use() as file:
            if count:
                call(lib.ib_latent_read, file, first, count, pointer(z))
        return z

    def read_guides(self, first: int, count: int) -> Guides:
        """`count` guides from number `first` (GuideWindow.at). -> pictures [count, 2, latent], features [count, 8]"""
        most = len(self._features) if self.guide_model else 0
        first = whole(first, "first", 0, most)
        count = whole(count, "count", 0, most - first)
        z = np.empty((count, lib.IB_GUIDE_PICTURES) + self.shape.array, np.float32)
        with self._handle.use() as file:
            if count:
                call(lib.ib_latent_read_guides, file, first, count, pointer(z))
        return Guides(z, self._features[first : first + count].copy() if count else np.empty((0, lib.IB_GUIDE_FEATURES), np.float32))

    def __getitem__(self, index: int | slice) -> Floats:
        """One latent, or [n, latent] of a slice."""
        if isinstance(index, slice):
            first, stop, step = index.indices(len(self))
            if step == 1:
                return self.read(first, max(0, stop - first))
            wanted = range(first, stop, step)
            if not wanted:
                return self.read(0, 0)
            return np.concatenate([self.read(i, 1) for i in wanted])
        number = index.__index__()
        if not -len(self) <= number < len(self):
            raise IndexError(f"{self.path}: has no latent {number}: there are {len(self)}")
        z = self.read(number % len(self), 1)
        return z.reshape(z.shape[1:])

    def __iter__(self) -> Iterator[Floats]:
        for i in range(len(self)):
            yield self.read(i, 1)[0]

    def windows(self, gap: int, most: int = 0) -> NDArray[np.intp]:
        """First frames of windows of `gap` frames end to end within shots, as evaluation takes them; `most` of them, 0: all."""
        gap, most = whole(gap, "gap", 2, 1000), whole(most, "most", 0, 1 << 30)
        firsts = np.empty(len(self), np.uintp)
        with self._handle.use() as file:
            n = lib.ib_score_windows(file, gap, most, ffi.from_buffer("size_t[]", firsts))
        return firsts[:n].astype(np.intp)

    @staticmethod
    def write(
        path: Path,
        latents: ArrayLike,
        *,
        space: Space | str,
        layout: str | None = None,
        fps: float,
        times: ArrayLike | None = None,
        cuts: ArrayLike | None = None,
        picture_size: tuple[int, int] | None = None,
        source: str | None = None,
    ) -> None:
        """Writes latents [N, latent], any tower's or VAE's, as a file of their own. What the arguments mean: `LatentWriter`.

        layout: None: by the number of axes, [N, D] single, [N, T, D] sequence, [N, rows, cols, D] grid. times: [N] seconds, never
        falling; None: frame numbers / fps. cuts: [N], true where a new shot begins. What tells the video from others is the SHA-256 of
        its latents.
        """
        z = floats(latents, "latents")
        if layout is None:
            layout = {2: "single", 3: "sequence", 4: "grid"}.get(z.ndim, "single")
        shape = Shape.of_array(layout, z.shape[1:])
        if times is None:
            times = np.arange(len(z)) / float(fps) if fps else np.zeros(len(z))
        seconds = numbers(times, "times")
        shots = np.zeros(len(z), bool) if cuts is None else np.asarray(cuts, bool)
        for name, array in (("times", seconds), ("cuts", shots)):
            if array.shape != (len(z),):
                raise ArgumentError(f"{name}: has the shape {list(array.shape)}: there are {len(z)} latents")
        with np.errstate(over="ignore"):
            digest = hashlib.sha256(z.astype("<f2").tobytes()).hexdigest()
        with LatentWriter(path, shape, space=space, fps=fps, picture_size=picture_size, source=source, source_sha256=digest) as writer:
            for one, second, cut in zip(z, seconds, shots):
                writer.append(one, second, cut)


class LatentWriter:
    """A latent file under construction. At the end of a `with` without an exception it gets its name; else nothing is left of it.

    space: a `Space`, or the id of your own: whatever names the coordinates, such as "vae:mine". shape: of one latent. fps: of the
    frames. picture_size: width and height of the encoded pictures in px; None: unknown (1 x 1), or what the patch space's grid says.
    source: name of the video; None: the file's own name. source_sha256: 64 hexadecimal digits that tell the video from others, which
    training needs to set videos apart for validation; empty: the name does. Numbers are stored as IEEE half.
    """

    def __init__(
        self,
        path: Path,
        shape: Shape,
        *,
        space: Space | str,
        fps: float,
        picture_size: tuple[int, int] | None = None,
        source: str | None = None,
        source_sha256: str = "",
    ):
        name = space.id if isinstance(space, Space) else space
        if not isinstance(name, str):
            raise TypeError(f"space: is {type(space).__name__}: it is to be a Space or an id")
        pictures = bool(lib.ib_space_is_pictures(encoded(name)))
        if picture_size is None:
            picture_size = (shape.cols * 8, shape.rows * 8) if pictures else (1, 1)
        width, height = (whole(side, "picture_size", 1, 16384) for side in picture_size)
        if isinstance(space, Space) and space.shape(width, height) != shape:
            raise MismatchError(f"shape: is {list(shape.array)}: latents of {name} are {list(space.shape(width, height).array)}")
        if pictures and (shape.layout, shape.rows, shape.cols, shape.width) != (
            "grid",
            -(-height // lib.IB_PATCH_LUMA),
            -(-width // lib.IB_PATCH_LUMA),
            lib.IB_PATCH_D,
        ):
            raise MismatchError(f"shape: is {list(shape.array)}: {name} makes another one of pictures of {width} x {height} px")
        raw = ffi.new("ib_latent_info *")
        text = os.fsdecode(path) if source is None else source
        raw.space_id, raw.source = _fitting(name, "space", 255), _fitting(os.path.basename(text), "source", 511)
        if not re.fullmatch("([0-9a-f]{64})?", source_sha256):
            raise ArgumentError("source_sha256: is to be 64 hexadecimal digits in small letters, or empty")
        raw.source_sha256 = source_sha256.encode()
        shape.fill(raw.shape)
        raw.frame_width, raw.frame_height, raw.matrix = width, height, 2
        raw.fps, raw.every = float(fps), 1
        out = ffi.new("ib_latent_writer **")
        call(lib.ib_latent_writer_create, out, encoded(path), raw)
        self.path, self.shape = os.fspath(path), shape
        self._handle = Handle("ib_latent_writer", out[0], lib.ib_latent_writer_abort, str(self.path))

    def __enter__(self) -> LatentWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if kind is None and not self._handle.closed:
            self.finish()
        else:
            self.abort()

    def append(self, z: ArrayLike, seconds: float, cut: bool = False) -> None:
        """The next latent, its time, and whether a shot begins with it. NonfiniteError beyond half's range too. After an error the
        file is given up."""
        z = floats(z, "z")
        if self.shape.batch_of(z, "z"):
            raise MismatchError(f"z: has the shape {list(z.shape)}: one latent is {list(self.shape.array)}")
        try:
            with self._handle.use() as writer:
                call(lib.ib_latent_writer_append, writer, pointer(z), float(numbers(seconds, "seconds")), bool(cut))
        except Exception:
            self.abort()
            raise

    def finish(self) -> None:
        """Gives the file its name. EmptyError, and no file, without any latent."""
        with self._handle.use() as writer:
            out = ffi.new("ib_latent_writer **", writer)
            self._handle.forget()
            call(lib.ib_latent_writer_finish, out)

    def abort(self) -> None:
        """Drops what was written; what was there before stays."""
        self._handle.close()


def _copy(pointer: Any, kind: str, n: int, dtype: type) -> NDArray[Any]:
    """n numbers of the library's, copied."""
    return np.frombuffer(ffi.buffer(pointer, n * ffi.sizeof(kind)), dtype).copy()


def _fitting(text: str, name: str, most: int) -> bytes:
    raw = encoded(text)
    if not 0 < len(raw) <= most:
        raise ArgumentError(f"{name}: has {len(raw)} bytes: it is to have from 1 to {most}")
    return raw
