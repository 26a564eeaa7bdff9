"""Adapter files for `inbetween.torch`: what the metadata says, the tensors and their order.

docs/files.md describes the file, docs/model.md the tensors.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch

from .adapter import Strengths
from .errors import ArgumentError, FileError, FormatError, NonfiniteError

FORMAT = "2"
PATCH_SPACE = "patch:dct8+4:v1"
PATCH_WIDTH = 96
TIME_INPUTS, TIME_WIDTH = 16, 64
TOKEN_CELLS, CELL_OUTPUTS = 4, 6
HYPOTHESES = 3
MIXINGS = 2 + HYPOTHESES
MOTION_FEATURES = TOKEN_CELLS * 17 + 6
PIXEL_FEATURES = 3 * PATCH_WIDTH - 3
POSITION_FEATURES = 21
GATE_WIDTH = 32
GUIDE_FEATURES = 8
FIRST_MIXING = (0.12, 0.0, 0.17, 0.17, 0.44)
LAYOUTS = ("grid", "sequence", "single")
MOST_BINS = 8

_SIZES = ("width", "fine", "coarse", "fine_blocks", "coarse_blocks")
# name: grid's fine, coarse and their blocks; single's channels and blocks; sequence's
_PRESETS = {
    "toaster": ((48, 64, 1, 2), (256, 1), (128, 1)),
    "default": ((64, 128, 2, 3), (512, 1), (256, 1)),
    "large": ((96, 192, 3, 4), (1024, 2), (384, 2)),
}


def strength_at(s: Strengths, which: str, gap_seconds: float, pictures: bool) -> float:
    """Of "guide", "guided" or "alone" (docs/model.md, Strengths).

    Linear between the bins in the logarithm of the gap; above the last it falls to 0 at twice that gap, but in the
    space of pictures it stays.
    """
    middle, value = s.gap_seconds, {"guide": s.guide, "guided": s.guided, "alone": s.alone}[which]
    if gap_seconds <= middle[0]:
        return value[0]
    if gap_seconds >= middle[-1]:
        return value[-1] if pictures else value[-1] * max(0.0, 1 - math.log2(gap_seconds / middle[-1]))
    k = next(i for i, m in enumerate(middle) if gap_seconds <= m)
    part = math.log(gap_seconds / middle[k - 1]) / math.log(middle[k] / middle[k - 1])
    return value[k - 1] + part * (value[k] - value[k - 1])


def _write_strengths(s: Strengths) -> str:
    rows = zip(s.gap_seconds, s.guide, s.guided, s.alone)
    return "; ".join(" ".join(_number(v) for v in row) for row in rows)


def _read_strengths(text: str) -> Strengths:
    """ValueError for anything but 1 to 8 bins with values in their ranges."""
    rows = [[_single(float(v)) for v in part.split()] for part in text.split(";")]
    seconds = [row[0] for row in rows if len(row) == 4]
    good = (
        len(seconds) == len(rows) <= MOST_BINS
        and all(1e-6 <= s <= 1e6 for s in seconds)
        and all(a < b for a, b in zip(seconds, seconds[1:]))
        and all(0 <= v <= 1 for row in rows for v in row[1:])
    )
    if not good:
        raise ValueError(f"'inbetween.strengths' holds no strengths: '{text[:60]}'")
    return Strengths(*(tuple(column) for column in zip(*rows)))


def _single(v: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", v))[0])


def _number(v: float) -> str:
    short = f"{v:.6g}"
    return short if _single(float(short)) == _single(v) else f"{v:.9g}"


@dataclass(frozen=True)
class Config:
    """The architecture of an in-between model and what else its file says of it.

    space: id of the space. layout: "grid", "sequence" or "single". width: D. fine, coarse: channels of the
    blocks at token resolution and one level below (grid only), multiples of 16; fine_blocks of the first
    stand before and again after coarse_blocks of the second. motion: the motion head of the patch space.
    trust: how far predictions follow the heads, 0 to 1. guide: id of the pixel model of its guides; empty:
    the model takes none. strengths: None: none were fitted.
    """

    space: str
    layout: str
    width: int
    fine: int
    coarse: int = 0
    fine_blocks: int = 1
    coarse_blocks: int = 0
    motion: bool = False
    trust: float = 1.0
    guide: str = ""
    strengths: Strengths | None = None

    @staticmethod
    def preset(name: str, space: str, layout: str, width: int, guide: str = "") -> Config:
        """The sizes "toaster", "default" or "large", as `inbetween train --preset` has them."""
        if name not in _PRESETS:
            raise ArgumentError(f"there is no preset '{name}'; choose toaster, default or large")
        grid, single, sequence = _PRESETS[name]
        if layout == "grid":
            motion = space == PATCH_SPACE
            fine, coarse, fine_blocks, coarse_blocks = grid
            return Config(space, layout, width, fine, coarse, fine_blocks, coarse_blocks, motion,
                          0.6 if motion else 1.0, guide)
        fine, blocks = single if layout == "single" else sequence
        return Config(space, layout, width, fine, fine_blocks=blocks, guide=guide)

    @property
    def geometry(self) -> str:
        return "slerp:range1" if self.space == PATCH_SPACE else "slerp"

    @property
    def features_id(self) -> str:
        return "between:2 motion:2" if self.motion else "between:2 guide:1" if self.guide else "between:2"

    @property
    def features(self) -> int:
        """Inputs of the trunk per token."""
        if self.motion:
            return PIXEL_FEATURES + 2 + MOTION_FEATURES
        return (2 * self.width + 1 + (self.width + 1 if self.guide else 0)
                + (POSITION_FEATURES if self.layout == "sequence" else 0))

    @property
    def gate_inputs(self) -> int:
        return (12 if self.layout == "single" else 24) + 8 + GUIDE_FEATURES

    @property
    def first_trust(self) -> float:
        """What a model trusts as it is opened: strengths and layouts without motion put 1 in trust's place."""
        return self.trust if self.motion and not self.strengths else 1.0

    def check(self) -> None:
        """ArgumentError with a sentence for sizes that no model has."""
        grid = self.layout == "grid"
        if self.layout not in LAYOUTS:
            raise ArgumentError(f"unknown layout '{self.layout}'")
        if not 1 <= self.width <= 65536:
            raise ArgumentError(f"the latent width must be 1 to 65536, not {self.width}")
        for what, channels in (("model's", self.fine), ("coarse", self.coarse if self.coarse_blocks else 16)):
            if not 16 <= channels <= 4096 or channels % 16:
                raise ArgumentError(f"the {what} width must be a multiple of 16 from 16 to 4096, not {channels}")
        if not 1 <= self.fine_blocks <= 32 or not 0 <= self.coarse_blocks <= 32:
            raise ArgumentError("a model has 1 to 32 fine and 0 to 32 coarse blocks, "
                                f"not {self.fine_blocks} and {self.coarse_blocks}")
        if not grid and (self.coarse_blocks or self.motion):
            raise ArgumentError("coarse blocks and the motion head need the 'grid' layout")
        if not 0 <= self.trust <= 1:
            raise ArgumentError(f"expected a trust of 0 to 1, got {self.trust:g}")
        if self.motion and self.guide:
            raise ArgumentError("the space of pictures has no use for a guide")
        if self.motion and self.width != PATCH_WIDTH:
            raise ArgumentError(f"the motion head needs the patch space's width of {PATCH_WIDTH}, not {self.width}")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the tensors, in the order of the file."""
        out: dict[str, tuple[int, ...]] = {}

        def linear(name: str, *shape: int) -> None:
            out[f"{name}.weight"] = shape
            out[f"{name}.bias"] = shape[-1:]

        def blocks(level: str, n: int, c: int) -> None:
            for i in range(n):
                linear(f"{level}.{i}.film", TIME_WIDTH, 2 * c)
                for mix in ("mix1", "mix2"):
                    linear(f"{level}.{i}.{mix}", *((9, c, c) if self.layout == "grid" else (c, c)))
                if self.layout == "sequence":
                    linear(f"{level}.{i}.qkv", c, 3 * c)
                    linear(f"{level}.{i}.attend", c, c)

        linear("time", TIME_INPUTS, TIME_WIDTH)
        linear("into", self.features, self.fine)
        blocks("before", self.fine_blocks, self.fine)
        if self.coarse_blocks:
            linear("down", 4 * self.fine, self.coarse)
            blocks("coarse", self.coarse_blocks, self.coarse)
            linear("up", self.coarse, 4 * self.fine)
        blocks("after", self.fine_blocks, self.fine)
        linear("out.film", TIME_WIDTH, 2 * self.fine)
        linear("correction", self.fine, self.width)
        if self.motion:
            linear("mixing", self.fine, MIXINGS * self.width)
            linear("motion", self.fine, TOKEN_CELLS * CELL_OUTPUTS)
        if self.guide:
            linear("gate.into", self.gate_inputs, GATE_WIDTH)
            linear("gate", GATE_WIDTH, 2)
        return out

    def metadata(self) -> dict[str, str]:
        """The metadata that makes a file an adapter of this architecture."""
        meta = {
            "inbetween.format": FORMAT,
            "inbetween.space": self.space,
            "inbetween.geometry": self.geometry,
            "inbetween.features": self.features_id,
            "inbetween.trust": f"{self.trust:.17g}",
            "inbetween.layout": self.layout,
            "inbetween.motion": "yes" if self.motion else "no",
        }
        meta |= {f"inbetween.{k}": str(getattr(self, k)) for k in _SIZES}
        if self.guide:
            meta["inbetween.guide"] = self.guide
        if self.strengths:
            meta["inbetween.strengths"] = _write_strengths(self.strengths)
        return meta | {"modelspec.sai_model_spec": "1.0.0", "modelspec.architecture": "inbetween-v2/in-between"}

    @staticmethod
    def parse(meta: Mapping[str, str]) -> Config:
        """ValueError with a sentence if this is not the metadata of an adapter that this version can read."""

        def need(key: str) -> str:
            if key not in meta:
                raise ValueError(f"not an in-between adapter: its metadata has no '{key}'")
            return meta[key]

        if need("inbetween.format") != FORMAT:
            raise ValueError(f"an adapter of format {meta['inbetween.format']}, this version reads format {FORMAT}: "
                             "train it anew")
        try:
            sizes = {k: int(need(f"inbetween.{k}"), 10) for k in _SIZES}
            trust = float(need("inbetween.trust"))
            strengths = _read_strengths(meta["inbetween.strengths"]) if "inbetween.strengths" in meta else None
        except ValueError as e:
            if "metadata has no" in str(e):
                raise
            raise ValueError(f"damaged: sizes, trust or strengths in its metadata are not valid ({e})") from None
        c = Config(need("inbetween.space"), need("inbetween.layout"), motion=need("inbetween.motion") == "yes",
                   trust=trust, guide=meta.get("inbetween.guide", ""), strengths=strengths, **sizes)
        for key, ours in (("inbetween.geometry", c.geometry), ("inbetween.features", c.features_id)):
            if need(key) != ours:
                raise ValueError(f"'{key}' is '{meta[key]}', this version computes '{ours}': train it anew")
        c.check()
        return c


def read(path: str | os.PathLike[str]) -> tuple[Config, dict[str, torch.Tensor], dict[str, str], str]:
    """The architecture, the tensors as float32, the rest of the metadata and the file's SHA-256.

    FileError if the file cannot be read, FormatError if it is no adapter that this version takes.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as e:
        raise FileError(f"{os.fspath(path)}: cannot be read: {e.strerror}") from None
    try:
        tensors, meta = _parse(data)
        config = Config.parse(meta)
        _check(config, tensors)
    except (ValueError, safetensors.SafetensorError) as e:
        raise FormatError(f"{os.fspath(path)}: {e}") from None
    own = config.metadata()
    rest = {k: v for k, v in meta.items() if k not in own and k != "inbetween.parents"}
    return config, {k: tensors[k].float() for k in config.shapes()}, rest, hashlib.sha256(data).hexdigest()


def _parse(data: bytes) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    from safetensors.torch import load

    tensors = load(data)  # checks the whole header
    length = int.from_bytes(data[:8], "little")
    return tensors, json.loads(data[8 : 8 + length]).get("__metadata__", {})


def _check(config: Config, tensors: Mapping[str, torch.Tensor]) -> None:
    shapes = config.shapes()
    for name, shape in shapes.items():
        if name not in tensors:
            raise ValueError(f"the tensor '{name}' is missing")
        t = tensors[name]
        if tuple(t.shape) != shape:
            raise ValueError(f"the tensor '{name}' has the shape {list(t.shape)}, expected {list(shape)}")
        if t.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            raise ValueError(f"the tensor '{name}' is {t.dtype}, expected F32, F16 or BF16")
        if not torch.isfinite(t).all():
            raise ValueError(f"the tensor '{name}' holds a number that is not finite")
    for name in tensors:
        if name not in shapes:
            raise ValueError(f"unexpected tensor '{name[:100]}'")


def write(path: str | os.PathLike[str], config: Config, tensors: Mapping[str, torch.Tensor],
          metadata: Mapping[str, str]) -> None:
    """The bytes that the C program writes for the same weights and metadata. The file appears when it is whole.

    NonfiniteError if a weight is not finite, ArgumentError if the metadata names the architecture's own keys.
    """
    own, name = config.metadata(), os.fspath(path)
    twice = sorted(own.keys() & metadata.keys())
    if twice:
        raise ArgumentError(f"{name}: not written, the model itself says what '{twice[0]}' is")
    header: dict[str, object] = {"__metadata__": own | {str(k): str(v) for k, v in metadata.items()}}
    parts, at = [], 0
    for key, shape in config.shapes().items():
        t = tensors[key].detach().to("cpu", torch.float32).contiguous()
        if not torch.isfinite(t).all():
            raise NonfiniteError(f"{name}: not written, the weights hold a number that is not finite ('{key}')")
        parts.append(t.numpy().astype("<f4", copy=False).tobytes())
        header[key] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + len(parts[-1])]}
        at += len(parts[-1])
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    _publish(Path(path), [struct.pack("<Q", len(text)), text, *parts])


def _publish(path: Path, parts: list[bytes]) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as f:
            f.writelines(parts)
            f.flush()
            os.fsync(f.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
