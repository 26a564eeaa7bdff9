"""Adapters: the in-between model, z(t) = slerp + what it learned (docs/model.md)."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._library import Closing, Handle, call, encoded, ffi, lib, libc, text_of
from .errors import ArgumentError, MismatchError
from .latent_file import Guides, LatentFile, Path
from .shape import LAYOUTS, Floats, Shape, choice, floats, numbers, pointer, whole
from .space import Space

MOST_VALUES = 1 << 20  # of the latents of one call of the library
MOST_AT_ONCE = 256

REQUEST = np.dtype(  # ib_between
    {
        "names": ["z0", "z1", "t", "gap_seconds", "guide", "feature"],
        "formats": [np.uintp, np.uintp, np.float32, np.float32, np.uintp, np.uintp],
        "offsets": [ffi.offsetof("ib_between", name) for name in ("z0", "z1", "t", "gap_seconds", "guide", "feature")],
        "itemsize": ffi.sizeof("ib_between"),
    }
)


@dataclass(frozen=True)
class Strengths:
    """How far each part of the model is followed at each gap, fitted on validation (docs/model.md). [bins] each."""

    gap_seconds: tuple[float, ...]
    guide: tuple[float, ...]
    guided: tuple[float, ...]
    alone: tuple[float, ...]


@dataclass(frozen=True)
class AdapterInfo:
    """What an adapter is."""

    space_id: str
    layout: str  # of the latents: "grid", "sequence" or "single"
    width: int  # D of the latents
    fine: int  # channels at token resolution
    coarse: int  # channels one level below; of grids
    fine_blocks: int
    coarse_blocks: int
    motion: bool  # it has a motion head, so it renders pictures
    guide: str  # id of the pixel model of its guides; empty: it was trained without
    strengths: Strengths | None  # None: none were fitted
    features: str  # names all else that a prediction depends on
    parameters: int
    metadata: dict[str, str]  # of the file; empty where there is none


class Adapter(Closing):
    """An in-between model in memory. One thread at a time; `with` closes it."""

    def __init__(self, raw: Any, name: str, metadata: dict[str, str]):
        self._handle = Handle("ib_adapter", raw, lib.ib_adapter_free, name)
        self._work: Handle | None = None
        self._work_for: tuple[Shape, int] | None = None
        self._plan: _Plan | None = None
        with self._handle.use() as adapter:
            c = lib.ib_adapter_config_of(adapter)
            s = c.strengths
            self.info = AdapterInfo(
                text_of(c.space_id),
                LAYOUTS[c.layout],
                c.width,
                c.fine,
                c.coarse,
                c.fine_blocks,
                c.coarse_blocks,
                bool(c.motion),
                text_of(c.guide),
                Strengths(*(tuple(row[i] for i in range(s.bins)) for row in (s.gap_seconds, *s.value))) if s.bins else None,
                text_of(lib.ib_adapter_features(c)),
                lib.ib_adapter_param_count(adapter),
                metadata,
            )

    @staticmethod
    def load(name: Path) -> Adapter:
        """A file; "default", which comes with the library; or "prior", the untrained model. FormatError for a damaged file."""
        file, out = ffi.new("char **"), ffi.new("ib_adapter **")
        text = ffi.new("char[]", encoded(name))
        call(lib.ib_adapter_named_file, file, text)
        try:
            call(lib.ib_adapter_open_named, out, text)
            if not out[0]:
                raise ArgumentError(f"{name}: is no adapter")
            raw, out[0] = out[0], ffi.NULL
            adapter = Adapter(raw, os.fsdecode(encoded(name)), {})
            if file[0]:
                adapter.info.metadata.update(_metadata(file[0]))
        finally:
            libc.free(file[0])
        return adapter

    @staticmethod
    def new(preset: str, space_id: str, layout: str, width: int, *, seed: int = 1, guide: str = "") -> Adapter:
        """An untrained one. preset: "toaster", "default" or "large"; layout and width: of the latents; guide: id of a pixel model."""
        config, out = ffi.new("ib_adapter_config *"), ffi.new("ib_adapter **")
        kind = choice(layout, LAYOUTS, "layout")
        raw_id = encoded(space_id)
        if not 0 < len(raw_id) <= 255 or len(encoded(guide)) > 159:
            raise ArgumentError("space_id and guide: are to have at most 255 and 159 bytes, space_id at least 1")
        call(lib.ib_adapter_preset, encoded(preset), raw_id, kind, whole(width, "width", 1, 1 << 20), config)
        config.guide = encoded(guide)
        call(lib.ib_adapter_create, out, config, whole(seed, "seed", 0, (1 << 64) - 1))
        return Adapter(out[0], preset, {})

    def close(self) -> None:
        """Releases it; again does nothing."""
        super().close()
        if self._work is not None:
            self._work.close()
            self._work = None

    def save(self, path: Path, *, metadata: Mapping[str, str] | None = None, half: bool = False) -> None:
        """Writes it as a file, weights as float32 or, `half`, float16. metadata: further pairs."""
        pairs = [(ffi.new("char[]", str(k).encode()), ffi.new("char[]", str(v).encode())) for k, v in (metadata or {}).items()]
        meta = ffi.new("ib_st_meta[]", max(1, len(pairs)))
        for one, (key, value) in zip(meta, pairs):
            one.key, one.value = key, value
        with self._handle.use() as adapter:
            kind = lib.IB_F16 if half else lib.IB_F32
            call(lib.ib_adapter_save_as, adapter, encoded(path), kind, meta, len(pairs))

    @property
    def trust(self) -> float:
        """How far it follows what it learned: 0 the untrained model, 1 wholly. Set to anything, it is clamped to [0, 1]."""
        with self._handle.use() as adapter:
            return float(lib.ib_adapter_trust_of(adapter))

    @trust.setter
    def trust(self, value: float) -> None:
        with self._handle.use() as adapter:
            lib.ib_adapter_trust(adapter, float(numbers(value, "trust")))

    def sharpen(self, sharpness: float) -> None:
        """How sharp its pictures are, with a motion head: 0 (at first) least squared error, 1 the detail of one keyframe."""
        with self._handle.use() as adapter:
            lib.ib_adapter_sharpen(adapter, float(numbers(sharpness, "sharpness")))

    def parameters(self) -> dict[str, Floats]:
        """Copies of all tensors by name, in the order of the file."""
        with self._handle.use() as adapter:
            n = lib.ib_adapter_param_count(adapter)
            flat = np.frombuffer(ffi.buffer(lib.ib_adapter_params(adapter), 4 * n), np.float32)
            found = {}
            for i in range(lib.ib_adapter_tensor_count(adapter)):
                p = lib.ib_adapter_tensor(adapter, i)
                found[text_of(p.name)] = flat[p.offset : p.offset + p.count].reshape(tuple(p.shape[k] for k in range(p.rank))).copy()
            return found

    def check_space(self, other: Space | LatentFile | str) -> None:
        """MismatchError, naming both, unless `other` is of its space; of a file with guides also unless they are of its pixel
        model."""
        if isinstance(other, LatentFile):
            space_id, what = other.space_id, str(other.path)
        else:
            space_id, what = (other.id, "the space") if isinstance(other, Space) else (other, "the other side")
        with self._handle.use() as adapter:
            call(lib.ib_adapter_check_space, adapter, encoded(space_id), encoded(what))
        if isinstance(other, LatentFile) and self.info.guide and other.guide_model:
            if not lib.ib_guide_same_model(encoded(self.info.guide), encoded(other.guide_model)):
                raise MismatchError(f"{what}: has guides of {other.guide_model}: the adapter was trained with {self.info.guide}")

    def between(
        self,
        z0: ArrayLike,
        z1: ArrayLike,
        t: ArrayLike,
        *,
        gap_seconds: ArrayLike = 1.0,
        guide: Guides | tuple[ArrayLike, ArrayLike] | None = None,
        out: Floats | None = None,
    ) -> Floats:
        """The latents at t between z0 and z1, which are given back as they are at t = 0 and t = 1.

        z0, z1: [..., latent], alike or to be broadcast; their axes before the latent are the batch. t, in [0, 1]: one number ->
        [batch, latent]; [n] -> [batch, n, latent]; [batch, n], each pair's own -> the same. gap_seconds: time from z0 to z1, one number
        or [batch]. guide, for an adapter that was trained with guides: pictures [batch, (n,) 2, latent] and features
        [batch, (n,) 8]. out: where the result goes, a contiguous float32 array that is none of the inputs.
        What is float32 and contiguous is not copied.
        """
        z0, z1 = floats(z0, "z0"), floats(z1, "z1")
        places, seconds = numbers(t, "t"), numbers(gap_seconds, "gap_seconds")
        if not _within(places, 0, 1) or not _within(seconds, math.ulp(0), math.inf):
            raise ArgumentError("t: is to be in [0, 1], and gap_seconds above 0")
        with self._handle.use() as adapter:
            plan = self._plan_of(z0, z1, places, guide is not None)
            held = self._put_guide(plan, guide)
            if out is None:
                out = np.empty(plan.result, np.float32)
            elif not _takes(out, plan.result) or any(np.may_share_memory(out, a) for a in (z0, z1, *held)):
                raise ArgumentError(f"out: is to be contiguous float32 of the shape {list(plan.result)}, and no input")
            plan.put_addresses(z0, z1)
            plan.put_numbers("t", places)
            plan.put_numbers("gap_seconds", seconds.reshape(seconds.shape + plan.more) if seconds.ndim else seconds)
            self._predict(adapter, plan, out)
        return out

    def _plan_of(self, z0: Floats, z1: Floats, places: NDArray[np.float64], guided: bool) -> _Plan:
        """The plan of the last call if that was of the same kind, or a new one. Within the adapter's use."""
        key = z0.shape, z1.shape, places.shape, guided
        if self._plan is None or self._plan.key != key:
            shape = self._shape_of(z0)
            plan = _Plan(key, shape, shape.batch_of(z0, "z0"), shape.batch_of(z1, "z1"), places.shape)
            self._plan = plan if plan.request.size <= MOST_AT_ONCE else None
            return plan
        return self._plan

    def _shape_of(self, z: Floats) -> Shape:
        rank = {"grid": 3, "sequence": 2, "single": 1}[self.info.layout]
        if z.ndim < rank or z.shape[-1] != self.info.width:
            wanted = {"grid": "[rows, cols, {}]", "sequence": "[T, {}]", "single": "[{}]"}[self.info.layout].format(self.info.width)
            raise MismatchError(f"z0: has the shape {list(z.shape)}: the adapter takes latents {wanted}")
        return Shape.of_array(self.info.layout, z.shape[z.ndim - rank :])

    def _put_guide(self, plan: _Plan, guide: Any) -> tuple[Floats, ...]:
        """Into the requests; the arrays that must live as long as they are used."""
        if guide is None:
            return ()
        if not self.info.guide:
            raise MismatchError(f"{self._handle.name}: takes no guide: it was trained without")
        request = plan.request
        pictures, features = floats(guide[0], "guide's pictures"), floats(guide[1], "guide's features")
        one, told = (lib.IB_GUIDE_PICTURES,) + plan.shape.array, (lib.IB_GUIDE_FEATURES,)
        for name, array, ending in (("pictures", pictures, one), ("features", features, told)):
            if array.shape[-len(ending) :] != ending or array.shape[: -len(ending)] != request.shape:
                raise MismatchError(f"guide's {name}: have the shape {list(array.shape)}: here it is {list(request.shape + ending)}")
        if (features < 0).any():
            raise ArgumentError("guide's features: are 0 or more")
        request["guide"] = _offsets(request.shape, math.prod(one)) + _address(pictures)
        request["feature"] = _offsets(request.shape, told[0]) + _address(features)
        return pictures, features

    def _predict(self, adapter: Any, plan: _Plan, out: Floats) -> None:
        """Within the adapter's use."""
        shape, count = plan.shape, plan.request.size
        each = shape.tokens * shape.width
        most = max(1, min(MOST_AT_ONCE, MOST_VALUES // each if shape.layout != "grid" else 1))
        for first in range(0, count, most):
            n = min(most, count - first)
            with self._work_of(adapter, shape, n, most).use() as work:
                call(lib.ib_adapter_predict, adapter, work, plan.raw + first, n, pointer(out) + first * each)

    def _work_of(self, adapter: Any, shape: Shape, n: int, most: int) -> Handle:
        """The work space at hand, or a larger one. Within the adapter's use."""
        if self._work is None or self._work_for is None or self._work_for[0] != shape or self._work_for[1] < n:
            if self._work is not None:
                self._work.close()
                self._work = None
            batch = min(most, 1 << (n - 1).bit_length())
            raw, made = ffi.new("ib_shape *"), ffi.new("ib_adapter_work **")
            shape.fill(raw)
            call(lib.ib_adapter_work_create, made, adapter, raw, batch, False)
            self._work = Handle("ib_adapter_work", made[0], lib.ib_adapter_work_free, self._handle.name)
            self._work_for = shape, batch
        return self._work


class _Plan:
    """The requests of one call, kept for others of the same kind: shapes, and whether there are guides, are the same in all.
    Addresses, t and gap_seconds are put in anew for each; it keeps no array alive but its own."""

    def __init__(self, key: Any, shape: Shape, batch0: tuple[int, ...], batch1: tuple[int, ...], places: tuple[int, ...]):
        """batch0, batch1: axes of z0 and z1 before a latent's own. places: shape of t."""
        self.key = key
        self.shape = shape
        self.more = (1,) * min(1, len(places))  # an axis for t after the batch's
        try:
            requests = np.broadcast_shapes(batch0, batch1) + places[-1:]
        except ValueError:
            text = f"z0 and z1: have the shapes {list(key[0])} and {list(key[1])}: they do not go together"
            raise MismatchError(text) from None
        self.request = np.zeros(requests, REQUEST)
        self.result = requests + shape.array
        self.raw = ffi.cast("ib_between *", self.request.ctypes.data)
        self._starts = [_offsets(batch + self.more, shape.tokens * shape.width) for batch in (batch0, batch1)]

    def put_addresses(self, z0: Floats, z1: Floats) -> None:
        np.add(self._starts[0], _address(z0), out=self.request["z0"])
        np.add(self._starts[1], _address(z1), out=self.request["z1"])

    def put_numbers(self, name: str, values: NDArray[np.float64]) -> None:
        try:
            self.request[name] = values
        except ValueError:
            text = f"{name}: has the shape {list(values.shape)}: it does not go with {list(self.request.shape)} in-betweens"
            raise MismatchError(text) from None


def _offsets(batch: tuple[int, ...], each: int) -> NDArray[np.uintp]:
    """In bytes, of the parts of an array, `each` floats long. -> batch"""
    return (4 * each * np.arange(math.prod(batch), dtype=np.uintp)).reshape(batch)


def _address(array: Floats) -> np.uintp:
    return np.uintp(int(ffi.cast("uintptr_t", ffi.from_buffer(array))))


def _within(values: NDArray[np.float64], least: float, most: float) -> bool:
    """Whether all are in [least, most]."""
    if values.ndim == 0:
        return bool(least <= values.item() <= most)
    return not ((values < least) | (values > most)).any()


def _takes(out: Any, shape: tuple[int, ...]) -> bool:
    good = isinstance(out, np.ndarray) and out.dtype == np.float32 and out.shape == shape
    return good and out.flags.c_contiguous and out.flags.aligned and out.flags.writeable


def _metadata(path: Any) -> dict[str, str]:
    """All pairs in a safetensors file's header."""
    out = ffi.new("ib_st **")
    call(lib.ib_st_open, out, path)
    try:
        pairs, key, value = {}, ffi.new("const char **"), ffi.new("const char **")
        for i in range(lib.ib_st_metadata_count(out[0])):
            lib.ib_st_metadata_at(out[0], i, key, value)
            pairs[text_of(key[0])] = text_of(value[0])
        return pairs
    finally:
        lib.ib_st_close(out)
