"""Keyframes to films, embeddings or pictures in memory."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Callable, Iterable, NamedTuple, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ._job import Bar, Job
from ._library import Closing, Handle, call, encoded, ffi, lib, text_of
from .errors import ArgumentError, MismatchError
from .frames import BT709, Pictures, empty_frame, frame_of, pictures
from .latent_file import Path
from .shape import numbers, pair, threads_of, whole
from .space import Space


class RenderProgress(NamedTuple):
    done: float  # frames, or a part of 1
    total: float
    stage: str = ""


@dataclass(frozen=True)
class RenderResult:
    frames: int  # or rows of embeddings
    width: int  # of the clip, px; 0 of embeddings
    height: int
    seconds: float  # how long it plays
    guided: int = 0  # ways from keyframe to keyframe with guides


def render(
    keyframes: Sequence[Path],
    output: Path,
    *,
    adapter: Path | None = None,
    frames: int = 25,
    fps: float = 24.0,
    gap_seconds: float = 0.0,
    size: tuple[int, int] | None = None,
    ease: bool = False,
    loop: bool = False,
    trust: float | None = None,
    sharpness: float | None = None,
    compare: bool = False,
    codec: str | None = None,
    crf: int | None = None,
    overwrite: bool = False,
    keep_interlaced: bool = False,
    threads: int = 0,
    space: Space | str | None = None,
    guide: str | os.PathLike[str] | None = None,
    modality_gap: Path | None = None,
    preview_from: Sequence[Path] = (),
    progress: bool | Callable[[RenderProgress], None] = False,
) -> RenderResult:
    """The way along keyframes as a film or, of embeddings, as a file.

    keyframes: two or more pictures, or VIDEO@TIME. output: .mp4 .m4v .mov .mkv .webm .gif .apng, NAME-%04d.png or DIR/.
    frames: from one keyframe to the next, both counted. adapter: a file, "default", "prior" or "none"; None: "default", for
    embeddings "none". gap_seconds: the time between keyframes that the model sees; 0: (frames - 1) / fps. trust: None: what the
    adapter says. sharpness: 0 nearest to the truth, 1 with the keyframes' contrast of detail; None: 0.5. size: None: the keyframes'
    own.

    Embeddings: output is NAME.safetensors, or a clip with preview_from, videos whose nearest frames are shown. keyframes also
    "text:PROMPT" and latent files, NAME.h5@TIME; space: needed unless all are latents; guide and modality_gap as in
    render/embeddings.h.
    """
    job = Job()
    names, n = job.texts(keyframes)
    common: dict[str, Any] = dict(
        keyframes=names, n_keyframes=n, output=output, frames=frames, fps=fps, gap_seconds=gap_seconds, ease=ease, loop=loop, trust=trust,
        codec=codec, crf=crf, overwrite=overwrite, keep_interlaced=keep_interlaced, threads=threads_of(threads), stop=job.stop,
    )  # fmt: skip
    if size is not None:
        width, height = pair(size, "size", 16, 16384)
        common.update(width=width, height=height)
    name = os.path.basename(os.fsdecode(output))
    if lib.ib_embeddings_name(encoded(output)) or preview_from:
        if sharpness is not None or compare:
            raise ArgumentError("sharpness and compare: are for pictures, not for embeddings")
        o, s = ffi.new("ib_embeddings_options *"), ffi.new("ib_embeddings_summary *")
        lib.ib_embeddings_defaults(o)
        adapter = None if adapter == "none" else adapter
        job.fill(o, **common, adapter=adapter, guide=guide, modality_gap=modality_gap)
        if preview_from:
            o.preview_from, o.n_preview = job.texts(preview_from)
        o.progress = job.report("void(void *, const char *, double)", lambda stage, part: RenderProgress(part, 1.0, text_of(stage)))
        o.message = job.messages()
        with ExitStack() as stack:
            if isinstance(space, str):
                space = stack.enter_context(Space(space, threads=threads))
            if space is not None:
                if not isinstance(space, Space):
                    raise TypeError(f"space: is {type(space).__name__}: it is to be a Space or its name")
                o.space = stack.enter_context(space._handle.use())
            job.run(lib.ib_render_embeddings, o, s, on_event=stack.enter_context(Bar(progress, name, lambda e: e[:2])))
        return RenderResult(s.rows, s.width, s.height, s.rows / fps, s.guided)
    if space is not None or guide is not None or modality_gap is not None:
        raise ArgumentError("space, guide and modality_gap: are for embeddings, not for pictures")
    o, s = ffi.new("ib_movie_options *"), ffi.new("ib_movie_summary *")
    lib.ib_movie_defaults(o)
    job.fill(o, **common, adapter="default" if adapter is None else adapter, sharpness=sharpness, compare=compare)
    o.progress = job.report("void(void *, int64_t, int64_t)", RenderProgress)
    with Bar(progress, name, lambda e: e[:2]) as bar:
        job.run(lib.ib_render_movie, o, s, on_event=bar)
    return RenderResult(s.frames, s.width, s.height, s.seconds)


class Renderer(Closing):
    """Pictures between two pictures in memory, of width x height px. One thread at a time; `with` closes it.

    sharpness: 0 nearest to the truth, 1 with the keyframes' contrast of detail.
    """

    def __init__(self, width: int, height: int, *, adapter: Path | None = "default", sharpness: float = 0.0, threads: int = 0):
        out = ffi.new("ib_renderer **")
        width, height = whole(width, "width", 1, 16384), whole(height, "height", 1, 16384)
        if not 0 <= (sharp := float(numbers(sharpness, "sharpness"))) <= 1:
            raise ArgumentError(f"sharpness: is {sharp:g}: it is 0 to 1")
        name = ffi.NULL if adapter is None else ffi.new("char[]", encoded(adapter))
        call(lib.ib_renderer_open, out, name, width, height, threads_of(threads))
        self.size = width, height
        self._handle = Handle("ib_renderer", out[0], lib.ib_renderer_close, "renderer")
        with self._handle.use() as renderer:
            lib.ib_renderer_sharpen(renderer, sharp)

    def between(self, first: ArrayLike, last: ArrayLike, t: ArrayLike, *, gap_seconds: float = 1.0) -> Pictures:
        """first, last: uint8 [H, W, 3]. t, in [0, 1]: one number -> [H, W, 3]; [n] -> [n, H, W, 3]. Pictures pass through 4:2:0."""
        ends = [pictures(first, "first"), pictures(last, "last")]
        for name, end in zip(("first", "last"), ends):
            if end.shape != (self.size[1], self.size[0], 3):
                raise MismatchError(f"{name}: has the shape {list(end.shape)}: here it is {[self.size[1], self.size[0], 3]}")
        places = numbers(t, "t")
        if places.ndim > 1:
            raise ArgumentError(f"t: has the shape {list(places.shape)}: it is one number or a list of them")
        out = np.empty(places.shape + ends[0].shape, np.uint8)
        with self._handle.use() as renderer, frame_of(ends[0]) as a, frame_of(ends[1]) as b, empty_frame(*self.size) as made:
            for place, picture in zip(places.reshape(-1), out.reshape((-1,) + ends[0].shape)):
                call(lib.ib_renderer_frame, renderer, a, b, place, float(numbers(gap_seconds, "gap_seconds")), made)
                call(lib.ib_frame_to_rgb, made, ffi.from_buffer("uint8_t[]", picture))
        return out


def write_film(output: Path, frames: Iterable[ArrayLike], *, fps: float = 24.0, crf: int = -1, overwrite: bool = False) -> int:
    """Pictures, uint8 [H, W, 3] of one size each, as a film; the format follows the name as in `render`. Their number.

    The film appears when it is whole; after an exception nothing is left of it.
    """
    handle, size, n = None, None, 0
    try:
        for frame in frames:
            picture = pictures(frame, f"frame {n}")
            if size is None or handle is None:
                size = picture.shape
                o, out = ffi.new("ib_writer_options *"), ffi.new("ib_writer **")
                o.width, o.height, o.fps, o.matrix, o.crf, o.overwrite, o.rgb = size[1], size[0], fps, BT709, crf, overwrite, True
                call(lib.ib_writer_open, out, encoded(output), o)
                handle = Handle("ib_writer", out[0], lib.ib_writer_abort, os.fsdecode(output))
            if picture.shape != size:
                raise MismatchError(f"frame {n}: has the shape {list(picture.shape)}: the film is {list(size)}")
            with handle.use() as writer, frame_of(picture) as raw:
                call(lib.ib_writer_write, writer, raw)
            n += 1
        if handle is None:
            raise ArgumentError(f"{os.fsdecode(output)}: cannot be written: there are no frames")
        with handle.use() as writer:
            finished = ffi.new("ib_writer **", writer)
            handle.forget()
            call(lib.ib_writer_finish, finished)
    finally:
        if handle is not None:
            handle.close()
    return n
