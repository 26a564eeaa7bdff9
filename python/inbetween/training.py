"""Training: latent files in, a run directory with an adapter out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Callable, NamedTuple, Sequence

from ._job import Bar, Job
from ._library import ffi, lib
from .errors import ArgumentError
from .latent_file import Path
from .shape import pair, threads_of


class TrainProgress(NamedTuple):
    step: int
    steps: int  # estimated when the budget is time
    seconds: float  # of training, all sessions of the run together
    seconds_left: float
    loss: float  # smoothed
    valid_skill: float  # NaN before the first validation
    samples_per_second: float


@dataclass(frozen=True)
class TrainResult:
    step: int
    samples: int
    skipped: int  # steps without a finite gradient
    seconds: float
    loss: float
    valid_skill: float  # of the weights in `adapter`; NaN if nothing could be validated
    samples_per_second: float
    parameters: int
    train_videos: int
    valid_videos: int
    adapter: str  # path of the file


def train(
    latents: Path | Sequence[Path],
    run: Path,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    valid: Path | Sequence[Path] | None = None,
    valid_fraction: float | None = None,
    resume: bool = False,
    overwrite: bool = False,
    preset: str | None = None,
    init: str | os.PathLike[str] | None = None,
    optimiser: str | None = None,
    batch: int | None = None,
    lr: float | None = None,
    weight_decay: float | None = None,
    clip_norm: float | None = None,
    ema_decay: float | None = None,
    warmup_steps: int | None = None,
    gaps: tuple[int, int] | None = None,
    crop: tuple[int, int] | None = None,
    no_guide: bool = False,
    seed: int | None = None,
    threads: int = 0,
    state_seconds: float | None = None,
    state_steps: int | None = None,
    keep_states: int | None = None,
    log_seconds: float | None = None,
    valid_seconds: float | None = None,
    patience: int | None = None,
    pool: Path | None = None,
    progress: bool | Callable[[TrainProgress], None] = False,
) -> TrainResult:
    """Trains on latent files, or folders of them, in the directory `run`, for `steps` or `minutes`, of all sessions together.

    Ctrl-C, and an exception of the callback, end it cleanly: the state is kept, and the same call with resume=True goes on from there.
    progress: a function of TrainProgress, or True for a bar of tqdm where that is installed. None is the default everywhere, of a
    resumed run what it began with; ranges are those of train/train.h. gaps: least and most frames of a gap; None: 2 to 16.
    crop: width and height in px, multiples of 8, of the parts of frames to train on, in the patch space.
    """
    if not resume and (steps is None) == (minutes is None):
        raise ArgumentError("steps and minutes: exactly one of the two is needed")
    job, o, r = Job(), ffi.new("ib_train_options *"), ffi.new("ib_train_result *")
    lib.ib_train_defaults(o)
    job.fill(o, latents=job.paths(latents), valid=job.paths(valid), run=run, resume=resume, overwrite=overwrite, steps=steps)
    job.fill(o, minutes=minutes, valid_fraction=valid_fraction, preset=preset, init=init, optimiser=optimiser, batch=batch, lr=lr)
    job.fill(o, weight_decay=weight_decay, clip_norm=clip_norm, ema_decay=ema_decay, warmup_steps=warmup_steps, no_guide=no_guide)
    job.fill(o, seed=seed, threads=threads_of(threads), state_seconds=state_seconds, state_steps=state_steps, keep_states=keep_states)
    job.fill(o, log_seconds=log_seconds, valid_seconds=valid_seconds, patience=patience, pool=pool, stop=job.stop)
    if gaps is not None:
        o.gap_min, o.gap_max = pair(gaps, "gaps", 2, 1000)
    if crop is not None:
        o.crop_width, o.crop_height = pair(crop, "crop", 8, 16384)
    o.progress = job.report("void(void *, const ib_train_progress *)", _progress)
    o.message = job.messages()
    with Bar(progress, os.path.basename(os.fsdecode(run)), lambda e: (e.step, e.steps)) as bar:
        job.run(lib.ib_train, o, r, on_event=bar)
    return TrainResult(
        r.step, r.samples, r.skipped, r.seconds, r.loss, r.valid_skill, r.samples_per_second, r.parameters, r.train_videos,
        r.valid_videos, os.path.join(os.fsdecode(run), "adapter.safetensors"),
    )  # fmt: skip


def _progress(p: object) -> TrainProgress:
    return TrainProgress(*(getattr(p, name) for name in TrainProgress._fields))
