"""Training windows from latent files, drawn as `inbetween train` draws them (train/sampler.h)."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from .errors import ArgumentError, EmptyError, MismatchError
from .latent_file import LatentFile
from .shape import Floats

_HALF_WEIGHT = 64  # windows at which a shot counts half of a long one
_LEAST_CHANCE = 0.1
_ATTEMPTS = 32
_CALIBRATION = 256  # windows that the median distance is found from
_TOKENS_COMPARED = 128
_MOST_OPEN = 64


class _Clip:
    """What is known of a file: times [N], the bounds of its shots, the windows that have guides."""

    def __init__(self, path: str) -> None:
        with LatentFile(path) as f:
            self.path, self.space, self.shape, self.fps = path, f.space_id, f.shape, f.info.fps
            self.times, self.guide_model = f.times, f.guide_model
            self.shots = np.append(np.flatnonzero(f.cuts), len(f))
            self.guides: dict[int, list[tuple[int, int]]] = {}  # by gap: first keyframe, number of the first guide
            for w in f.guide_windows:
                self.guides.setdefault(w.gap, []).append((w.first, w.at))

    def starts(self, gap: int) -> NDArray[np.int64]:
        """[shots]: frames at which a window of this gap can begin."""
        n: NDArray[np.int64] = np.maximum(np.diff(self.shots) - gap, 0)
        return n

    def weight(self, gap: int) -> float:
        n = self.starts(gap)
        total = float((n / (n + _HALF_WEIGHT)).sum())
        return math.sqrt(total) if total > 1 else total


class Windows(Dataset[dict[str, torch.Tensor]]):
    """Windows to learn from: two keyframes within one shot and a target between them. Sample i depends on seed and i.

    A clip is drawn by the number of its windows, long shots counting alike; the gap is log-uniform; windows whose
    keyframes differ less than the median window's come less often. Where files have guides, half of the samples
    are windows that have them. An item is a dictionary of tensors, float32: z0, z1, target [latent]; t,
    gap_seconds []; where any file has guides also guide [2, latent], feature [8] and guided [], bool. They go
    into `InBetween.forward` under these names, `target` aside. Each worker of a DataLoader opens the files for
    itself. Videos for validation are the caller's to set apart, and pictures are not altered but for the crop, where
    the program also mirrors, resamples and recolours them (train/augment.h).

    paths: latent files of one space. gap: least and most frames from keyframe to keyframe, 2 or more. samples: how
    many there are. crop: of a grid, the rows and columns of tokens to take, at a random place; needed where files
    have different grids. guides: False: as if there were none. EmptyError if no file has a shot that is long
    enough, MismatchError for files that do not go together.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]], *, gap: tuple[int, int] = (2, 16), samples: int = 1 << 20,
                 seed: int = 0, crop: tuple[int, int] | None = None, guides: bool = True) -> None:
        if not 2 <= gap[0] <= gap[1] or samples < 1 or seed < 0:
            raise ArgumentError("windows need gaps of 2 frames or more, the least first, a sample and a seed of 0 or more, "
                                f"not {gap[0]} to {gap[1]}, {samples} and {seed}")
        self.gap, self.samples, self.seed, self.crop = gap, samples, seed, crop
        self._clips = [_Clip(os.fspath(p)) for p in paths]
        if not self._clips:
            raise EmptyError("windows: there are no latent files")
        self._check()
        weights = np.array([c.weight(gap[0]) for c in self._clips])
        if not weights.sum() > 0:
            raise EmptyError(f"there is nothing to train on: none of the {len(self._clips)} files has a shot of at least "
                             f"{gap[0] + 1} frames, which a gap of {gap[0]} needs")
        self._chance = weights / weights.sum()
        has = np.array([c.weight(min(c.guides)) if guides and c.guides else 0.0 for c in self._clips])
        self._guided = has / has.sum() if has.sum() > 0 else None
        self._files: dict[str, LatentFile] = {}
        self._process = os.getpid()
        self.median = 0.0
        rng = np.random.default_rng([seed, 1 << 62])
        self.median = float(np.median([self._apart(*self._keyframes(self.candidate(rng))) for _ in range(_CALIBRATION)]))

    def _check(self) -> None:
        first = self._clips[0]
        models = {c.guide_model.split(" ")[0]: c.path for c in self._clips if c.guide_model}
        if len(models) > 1:
            (a, pa), (b, pb) = list(models.items())[:2]
            raise MismatchError(f"{pb}: has guides of {b}, but {pa} guides of {a}")
        for c in self._clips:
            if c.space != first.space or c.shape.width != first.shape.width or c.shape.layout != first.shape.layout:
                raise MismatchError(f"{c.path}: belongs to the space '{c.space}', but {first.path} to '{first.space}'")
            if self.crop is None and c.shape != first.shape:
                raise MismatchError(f"{c.path}: has latents {list(c.shape.array)}, but {first.path} {list(first.shape.array)}: "
                                    "samples of different grids need a crop")
            if self.crop is not None and (c.shape.layout != "grid" or not 1 <= self.crop[0] <= c.shape.rows
                                          or not 1 <= self.crop[1] <= c.shape.cols):
                raise MismatchError(f"{c.path}: has latents {list(c.shape.array)}, of which there is no crop of "
                                    f"{self.crop[0]} x {self.crop[1]} tokens")

    def __len__(self) -> int:
        return self.samples

    def candidate(self, rng: np.random.Generator) -> tuple[int, int, int, int, int | None]:
        """One window before the choice by distance: clip, first keyframe, gap, offset of the target, its guide."""
        if self._guided is not None and rng.random() < 0.5:
            k = int(rng.choice(len(self._clips), p=self._guided))
            windows = self._clips[k].guides
            gap = sorted(windows)[rng.integers(len(windows))]
            first, at = windows[gap][rng.integers(len(windows[gap]))]
            offset = int(rng.integers(1, gap))
            return k, first, gap, offset, at + offset - 1
        k = int(rng.choice(len(self._clips), p=self._chance))
        clip = self._clips[k]
        most = min(int(np.diff(clip.shots).max()) - 1, self.gap[1])
        low, high = math.log(self.gap[0]), math.log(most + 1)
        gap = min(max(int(math.exp(low + rng.random() * (high - low))), self.gap[0]), most)
        starts = clip.starts(gap)
        at, shot = int(rng.integers(starts.sum())), 0
        while at >= starts[shot]:
            at -= int(starts[shot])
            shot += 1
        return k, int(clip.shots[shot]) + at, gap, int(rng.integers(1, gap)), None

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        if not 0 <= index < self.samples:
            raise IndexError(f"there is no sample {index}: there are {self.samples}")
        rng = np.random.default_rng([self.seed, index])
        for _ in range(_ATTEMPTS):
            window = self.candidate(rng)
            z0, z1 = self._keyframes(window)
            if self.median <= 0 or rng.random() < max(self._apart(z0, z1) / self.median, _LEAST_CHANCE):
                break
        k, first, gap, offset, guide = window
        clip = self._clips[k]
        begin, at, end = (float(clip.times[first + i]) for i in (0, offset, gap))
        seconds, t = end - begin, (at - begin) / (end - begin) if end > begin else 0.0
        if not (seconds > 0 and 0 < t < 1):  # times that do not increase
            seconds, t = gap / clip.fps, offset / gap
        item: dict[str, Any] = {"z0": z0, "z1": z1, "target": self._file(k)[first + offset], "t": np.float32(t),
                "gap_seconds": np.float32(seconds)}
        if self._guided is not None:
            item |= {"guide": np.zeros((2, *z0.shape), np.float32), "feature": np.zeros(8, np.float32)}
            if guide is not None:
                pictures, features = self._file(k).read_guides(guide, 1)
                item |= {"guide": pictures[0], "feature": features[0]}
            item["guided"] = np.bool_(guide is not None)
        if self.crop is not None:
            self._cut(item, clip, rng)
        return {name: torch.from_numpy(np.ascontiguousarray(v)) if np.ndim(v) else torch.tensor(v) for name, v in item.items()}

    def _cut(self, item: dict[str, Any], clip: _Clip, rng: np.random.Generator) -> None:
        assert self.crop is not None
        (r, q), (rows, cols) = self.crop, (clip.shape.rows, clip.shape.cols)
        y, x = int(rng.integers(rows - r + 1)), int(rng.integers(cols - q + 1))
        for name in ("z0", "z1", "target", "guide"):
            if name in item:
                item[name] = item[name][..., y : y + r, x : x + q, :]

    def _keyframes(self, window: tuple[int, int, int, int, int | None]) -> tuple[Floats, Floats]:
        k, first, gap, _, _ = window
        f = self._file(k)
        return f[first], f[first + gap]

    def _apart(self, z0: Floats, z1: Floats) -> float:
        """Mean square of the difference, over evenly spread tokens."""
        a, b = (z.reshape(-1, z.shape[-1]) for z in (z0, z1))
        step = max(len(a) // _TOKENS_COMPARED, 1)
        return float(np.square(a[::step] - b[::step], dtype=np.float64).mean())

    def _file(self, k: int) -> LatentFile:
        """The open file of a clip; this process's own."""
        if self._process != os.getpid():
            self._files, self._process = {}, os.getpid()
        path = self._clips[k].path
        if path not in self._files:
            if len(self._files) >= _MOST_OPEN:
                self._files.pop(next(iter(self._files))).close()
            self._files[path] = LatentFile(path)
        return self._files[path]

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_files": {}}
