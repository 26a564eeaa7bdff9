"""Videos and pictures to latents."""

from __future__ import annotations

import os
import tempfile
import warnings
from dataclasses import dataclass
from typing import Callable, NamedTuple, Sequence

from numpy.typing import ArrayLike

from ._job import Bar, Job
from ._library import ffi, lib, text_of
from .errors import ArgumentError
from .latent_file import LatentFile, Path
from .shape import Floats, choice, pair, threads_of, whole
from .space import FITS, Space


class EncodeProgress(NamedTuple):
    pictures: int  # frames encoded, and pictures of guides
    estimate: int  # of how many; 0: unknown


@dataclass(frozen=True)
class EncodeResult:
    """What is in a latent file that `encode_file` made."""

    unchanged: bool  # it was there already
    frames: int
    cuts: int  # shots after the first
    width: int  # of the frames, px
    height: int
    guide_windows: int
    guides: int
    guide_model: str  # id; empty: no guides


def encode_file(
    source: Path,
    out: Path,
    *,
    space: Space | str = "patch",
    size: tuple[int, int] | None = None,
    fit: str = "crop",
    every: int = 1,
    guide: str | os.PathLike[str] | None = None,
    guide_gaps: Sequence[int] | None = None,
    guide_windows: int | None = None,
    keep_interlaced: bool = False,
    force: bool = False,
    overwrite: bool = False,
    threads: int = 0,
    progress: bool | Callable[[EncodeProgress], None] = False,
) -> EncodeResult:
    """A video or picture into a latent file, which appears when it is whole; one that is there and still right is left alone.

    size: width and height in px, even; None: 192 x 112. Spaces that resize take no notice. every: keep every n-th frame.
    guide: the pixel model of guides, in spaces of embeddings: None: "default", "none": no guides. guide_gaps: in frames; None: 4, 8, 16.
    """
    if not isinstance(space, Space):
        with Space(space, fit=fit, threads=threads) as opened:
            return encode_file(
                source, out, space=opened, size=size, fit=fit, every=every, guide=guide, guide_gaps=guide_gaps,
                guide_windows=guide_windows, keep_interlaced=keep_interlaced, force=force, overwrite=overwrite, threads=threads,
                progress=progress,
            )  # fmt: skip
    job, o, stats = Job(), ffi.new("ib_encode_options *"), ffi.new("ib_encode_stats *")
    lib.ib_encode_defaults(o)
    job.fill(o, fit=choice(fit, FITS, "fit"), every=every, guide=guide, guide_windows=guide_windows, threads=threads_of(threads))
    job.fill(o, keep_interlaced=keep_interlaced, force=force, overwrite=overwrite, stop=job.stop)
    if size is not None:
        o.width, o.height = pair(size, "size", 16, 16384)
    if guide_gaps is not None:
        if not 0 < len(guide_gaps) <= lib.IB_ENCODE_GUIDE_GAPS:
            raise ArgumentError(f"guide_gaps: are {len(guide_gaps)}: they are to be from 1 to {lib.IB_ENCODE_GUIDE_GAPS}")
        job.fill(o, guide_gaps=len(guide_gaps))
        for i, gap in enumerate(guide_gaps):
            o.guide_gap[i] = whole(gap, "guide_gaps", 2, lib.IB_GUIDE_MAX_GAP)
    o.progress = job.report("void(void *, size_t, int64_t)", EncodeProgress)
    with space._handle.use() as raw, Bar(progress, os.path.basename(os.fsdecode(source)), lambda e: e) as bar:
        job.run(lib.ib_encode_video, job.text(source), job.text(out), raw, o, stats, on_event=bar)
    if stats.damaged:
        warnings.warn(text_of(stats.damage), stacklevel=2)
    if stats.no_guides:
        warnings.warn(text_of(stats.no_guides), stacklevel=2)
    return EncodeResult(
        bool(stats.unchanged), stats.frames, stats.cuts, stats.width, stats.height, stats.windows, stats.guides, text_of(stats.guide_model)
    )


def encode(
    frames_or_path: ArrayLike | Path, *, space: Space | str = "patch", size: tuple[int, int] | None = None, every: int = 1
) -> Floats:
    """Latents in memory. Pictures, uint8 [..., H, W, 3] -> [..., latent]; a video's or picture's path -> [N, latent].

    size: of videos, as in `encode_file`; None: 192 x 112. For long videos `encode_file` takes less memory.
    """
    if not isinstance(space, Space):
        with Space(space) as opened:
            return encode(frames_or_path, space=opened, size=size, every=every)
    if not isinstance(frames_or_path, (str, os.PathLike)):
        return space.encode(frames_or_path)
    with tempfile.TemporaryDirectory(prefix="inbetween-") as folder:
        out = os.path.join(folder, "latents.h5")
        encode_file(frames_or_path, out, space=space, size=size, every=every, guide="none")
        with LatentFile(out) as file:
            return file.read()
