"""How good in-betweens are on real frames."""

from __future__ import annotations

import json
import os
import warnings
from typing import Any, Callable, NamedTuple, Sequence

from ._job import Bar, Job
from ._library import ffi, lib, libc, text_of
from .errors import ArgumentError, OutOfMemoryError
from .latent_file import Path
from .shape import pair, threads_of, whole


class EvalProgress(NamedTuple):
    file: str
    number: int  # of the file, from 1
    files: int
    windows: int  # done so far
    fraction: float  # of all the work


def evaluate(
    inputs: Path | Sequence[Path],
    *,
    adapters: Path | Sequence[Path] = (),
    gaps: int | Sequence[int] = 8,
    space: str | None = None,
    size: tuple[int, int] | str | None = None,
    windows_per_clip: int = 0,
    trust: float | None = None,
    sharpness: float = 0.0,
    guide: str | os.PathLike[str] | None = None,
    minterpolate: bool = False,
    keep_interlaced: bool = False,
    threads: int = 0,
    progress: bool | Callable[[EvalProgress], None] = False,
) -> dict[str, Any]:
    """Baselines and adapters on videos or latent files, or folders of them: the report that docs/measuring.md describes.

    adapters: files, "default" or "prior"; none named: "default" in the patch space. gaps: frames from keyframe to keyframe.
    size: of videos, (width, height), "native" or None: 192 x 112. windows_per_clip: 0: all. A figure that does not apply is None.
    Inputs that could not be evaluated are warned of. `plot_curve` draws the result.
    """
    job, o, report = Job(), ffi.new("ib_eval_options *"), ffi.new("ib_eval_report *")
    lib.ib_eval_defaults(o)
    listed = [adapters] if isinstance(adapters, (str, os.PathLike)) else list(adapters)
    several = [whole(gap, "gaps", 2, 1000) for gap in (gaps if isinstance(gaps, Sequence) else [gaps])]
    if not 0 < len(several) <= lib.IB_EVAL_MAX_GAPS or len(set(several)) != len(several):
        raise ArgumentError(f"gaps: are {several}: they are 1 to {lib.IB_EVAL_MAX_GAPS} different numbers")
    for i, gap in enumerate(several):
        o.gap[i] = gap
    job.fill(o, inputs=job.paths(inputs), adapters=job.paths(listed), own_adapter=None if listed else "default", gaps=len(several))
    job.fill(
        o,
        space=space,
        windows_per_clip=whole(windows_per_clip, "windows_per_clip", 0, 1 << 30),
        trust=trust,
        sharpness=sharpness,
        guide=guide,
        minterpolate=minterpolate,
    )
    job.fill(o, keep_interlaced=keep_interlaced, threads=threads_of(threads), stop=job.stop)
    if isinstance(size, str):
        if size != "native":
            raise ArgumentError(f"size: is {size!r}: it is (width, height) or 'native'")
        o.native = True
    elif size is not None:
        o.width, o.height = pair(size, "size", 16, 16384)
        if o.width % 2 or o.height % 2:
            raise ArgumentError(f"size: is {size}: sides are even")
    o.progress = job.report(
        "void(void *, const ib_eval_progress *)", lambda p: EvalProgress(text_of(p.file), p.number, p.files, p.windows, p.fraction)
    )
    try:
        with Bar(progress, "evaluate", lambda e: (e.fraction, 1.0)) as bar:
            job.run(lib.ib_eval, o, report, on_event=bar)
        for remarks in (report.failed, report.damaged):
            for i in range(remarks.n):
                warnings.warn(text_of(remarks.v[i].why), stacklevel=2)
        text = lib.ib_eval_json(report)
        if not text:
            raise OutOfMemoryError("out of memory for the report")
        try:
            return json.loads(text_of(text))  # type: ignore[no-any-return]
        finally:
            libc.free(text)
    finally:
        lib.ib_eval_report_free(report)


SHOWN = ("lerp", "slerp", "cubic")  # of the baselines, by plot_curve; the others lie far below


def plot_curve(
    report: dict[str, Any], figure: str = "skill", *, gap: int | None = None, methods: Sequence[str] | None = None, axes: Any = None
) -> Any:
    """Draws a figure of methods over the place t with matplotlib; the axes. gap: None: the report's first. methods: their names in
    the report; None: lerp, slerp, cubic and all that are neither baselines nor true frames."""
    import matplotlib.pyplot as plt

    found = [one for one in report["gaps"] if gap is None or one["gap"] == gap]
    if not found or not found[0]["places"]:
        raise ArgumentError(f"the report has nothing at a gap of {gap} frames")
    places = found[0]["places"]
    known = places[0]["methods"]
    if methods is None:
        tried = report["protocol"]["methods"]
        methods = [one["name"] for one in tried if one["name"] in SHOWN or one["kind"] not in ("baseline", "oracle")]
    for name in methods:
        if name not in known:
            raise ArgumentError(f"methods: {name!r} is not in the report, which has {', '.join(known)}")
        if figure not in known[name]:
            raise ArgumentError(f"figure: is {figure!r}: it is one of {', '.join(known[name])}")
    if axes is None:
        axes = plt.subplots()[1]
    for name in methods:
        values = [place["methods"][name][figure] for place in places]
        axes.plot([place["t"] for place in places], [float("nan") if v is None else v for v in values], marker="o", label=name)
    axes.set_xlabel("t")
    axes.set_ylabel(figure)
    axes.legend()
    return axes
