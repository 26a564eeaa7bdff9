"""The in-between model as a torch module.

    from inbetween.torch import InBetween

    model = InBetween.from_file("adapter.safetensors").to("cuda")
    z = model.eval()(z0, z1, 0.5, 1.0)       # what the program predicts
    model.train()                            # what it learns from: without trust and strengths
    model.save("mine.safetensors")           # the program takes it

docs/model.md says what is computed. Predictions equal the program's within 1e-5 of their RMS.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping

import torch
from torch import Tensor

from . import _torch_file as file
from . import _torch_pixels as pixels
from ._torch_data import Windows
from ._torch_file import Config
from ._torch_layers import Film, Gate, Linear, Trunk, gate_features, position_features, slerp
from .adapter import Strengths
from .errors import ArgumentError, MismatchError

__all__ = ["Config", "InBetween", "Strengths", "Windows", "loss"]

_DISTANCE_FLOOR = 1e-3
_ERROR_FLOOR = 2e-6


class InBetween(Trunk):
    """z(t) = slerp(z0, z1, t) + residual(z0, z1, t).

    Exact at the keyframes, silent where they agree, the same forward and backward in time. A new model is
    slerp. In evaluation mode answers follow `trust` and `config.strengths` as the program's predictions do; in
    training mode they are what the heads say.

    config: the architecture. trust: how far predictions follow the heads, 0 to 1. metadata: what the file
    said besides, such as how it was trained; `save` does not write it by itself.
    """

    def __init__(self, config: Config) -> None:
        config.check()
        super().__init__(config)
        self.config = config
        self.trust = config.first_trust
        self.metadata: dict[str, str] = {}
        self._origin: tuple[str, str] | None = None
        self.correction = Linear(config.fine, config.width, 0.0)
        if config.motion:
            self.mixing = Linear(config.fine, file.MIXINGS * config.width, 0.0)
            self.mixing.bias.data = pixels.first_mixing(config.width)
            self.motion = Linear(config.fine, file.TOKEN_CELLS * file.CELL_OUTPUTS, 0.0)
        if config.guide:
            self.gate = Gate(config)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> InBetween:
        """Opens adapter.safetensors: FileError if it cannot be read, FormatError if it is no adapter."""
        config, tensors, metadata, digest = file.read(path)
        model = cls(config)
        model.load_state_dict(tensors)
        model.metadata = metadata
        model._origin = os.path.basename(os.fspath(path)), digest
        return model.eval()

    def save(self, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
        """Writes an adapter that the program takes, with more pairs for its metadata if some are given.

        A model that came from a file names that file as its parent.
        """
        meta = dict(metadata or {})
        if self._origin and "inbetween.parents" not in meta:
            name, digest = self._origin
            parent = {"role": "init", "name": name, "sha256": digest}
            meta["inbetween.parents"] = json.dumps([parent], ensure_ascii=False, separators=(",", ":"))
        file.write(path, self.config, self.state_dict(), meta)

    @property
    def dropout(self) -> float:
        """While training, the chance that a channel of the trunk is left out of a sample; 0 at first. With a motion head
        `inbetween train` has 0.05."""
        return self.out.dropout

    @dropout.setter
    def dropout(self, rate: float) -> None:
        if not 0 <= rate < 1:
            raise ArgumentError(f"expected a dropout of 0 or more and below 1, got {rate:g}")
        for module in self.modules():
            if isinstance(module, Film):
                module.dropout = rate

    def set_strengths(self, strengths: Strengths | None) -> None:
        """Those that predictions apply and `save` writes; None: none. They belong to the weights they were fitted to, so a
        model that was trained further has none that fit. Trust becomes 1 with strengths, else what the file says."""
        self.config = dataclasses.replace(self.config, strengths=strengths)
        self.trust = self.config.first_trust

    def forward(self, z0: Tensor, z1: Tensor, t: Tensor | float, gap_seconds: Tensor | float,
                guide: Tensor | None = None, feature: Tensor | None = None,
                guided: Tensor | None = None, estimate: dict[str, Tensor] | None = None) -> Tensor:
        """The in-betweens, in the shape of z0.

        z0, z1: keyframes, float32: [B, D] in the `single` layout, [B, T, D] in `sequence`, [B, rows, cols, D] in
        `grid`. t: in [0, 1], one for all or [B]. gap_seconds: from z0 to z1, above 0, one for all or [B].
        guide: for a model with guides, [B, 2, ...] with the rest as z0: the first keyframe carried to t, then the
        last. feature: [B, 8] of it (latent/guides.h). guided: [B] bool, which samples have one; None: all.
        estimate: with a motion head, what `estimate` gave for these samples, where it was made before.
        """
        shape = self._check(z0, z1, guide, feature)
        t, gap = self._each(t, len(z0), "t"), self._each(gap_seconds, len(z0), "gap_seconds")
        if not bool(((t >= 0) & (t <= 1)).all() & ((gap > 0) & (gap < 1e6)).all()):
            raise ArgumentError("an in-between needs t in [0,1] and a gap above 0 seconds")
        u, v = z0.reshape(shape), z1.reshape(shape)
        a, b, ordered_t, turn = _order(u, v, t)
        if guide is not None and feature is not None and self.config.guide:
            guide = guide.reshape(len(z0), 2, *shape[1:])
            guide = _swap(turn, guide, guide.flip(1))
            feature = _swap(turn, feature, feature[:, [1, 0, 2, 3, 4, 5, 6, 7]])
            guided = torch.ones_like(turn) if guided is None else guided.to(turn.device)
            guided = guided & self._useful(gap)
        else:
            guide = feature = None
            guided = torch.zeros_like(turn)
        if self.config.motion:
            z = self._pictures(a.reshape(z0.shape), b.reshape(z0.shape), ordered_t, gap, estimate).reshape(shape)
        else:
            z = self._between(a, b, ordered_t, gap, guide, feature, guided, z0.shape)
        if not self.training:
            same = (t == 0) | (u == v).flatten(1).all(1)
            z = _swap(same, z, u)
            z = _swap(t == 1, z, v)
        return z.reshape(z0.shape)

    def _between(self, z0: Tensor, z1: Tensor, t: Tensor, gap: Tensor, guide: Tensor | None,
                 feature: Tensor | None, guided: Tensor, shape: torch.Size) -> Tensor:
        """[B, T, D] of ordered samples without a motion head."""
        c = self.config
        path = (pixels.patch_slerp if c.space == file.PATCH_SPACE else slerp)(z0, z1, t)
        s = (z1 - z0).square().mean(-1, keepdim=True).sqrt()
        inverse, bow = 1 / (s + _DISTANCE_FLOOR), (4 * t * (1 - t))[:, None, None]
        features = [0.5 * (z0 + z1), (z1 - z0) * inverse, torch.log(s + _DISTANCE_FLOOR)]
        follow = torch.zeros_like(z0)
        if c.guide:
            has = guided[:, None, None].to(z0.dtype)
            if guide is None or feature is None:
                features += [follow, has.expand(-1, z0.shape[1], 1)]
            else:
                first, last = ((guide[:, k] - path) * has for k in (0, 1))
                inputs = has * gate_features(z0, z1, path, first, last, t, gap, feature, c.layout != "single")
                gate, share = self.gate.open(inputs, t)
                gate = gate[..., None] * has * self._strength("guide", gap)
                follow = gate * (first + share[..., None] * (last - first))
                mean = first + t[:, None, None] * (last - first)
                features += [mean * inverse, has.expand(-1, z0.shape[1], 1)]
        if c.layout == "sequence":
            where = position_features(z0.shape[1]).to(z0.device)
            features.append(where.expand(len(z0), -1, -1))
        seen = torch.cat(features, -1)
        if c.layout == "grid":
            seen = seen.reshape(*shape[:-1], -1)
        f = self.correction(self.run(seen, t, gap))
        held = torch.where(guided[:, None, None], self._strength("guided", gap), self._strength("alone", gap))
        z: Tensor = path + follow + bow * s * held * f.reshape(z0.shape)
        return z

    def _pictures(self, z0: Tensor, z1: Tensor, t: Tensor, gap: Tensor, e: dict[str, Tensor] | None) -> Tensor:
        """[B, R, Q, 96] of ordered samples with a motion head."""
        e = pixels.estimate(z0, z1, t) if e is None else e
        s = (z1 - z0).square().mean(-1, keepdim=True).sqrt()
        out = self.run(pixels.pixel_features(z0, z1, s, _DISTANCE_FLOOR, e), t, gap)
        held, bow = self._strength("alone", gap)[..., None], (4 * t * (1 - t))[:, None, None, None]
        first = pixels.first_mixing(self.config.width).to(z0.device)
        mixture = pixels.blend(pixels.motion_fields(held * self.motion(out), e), t, e)
        z: Tensor = pixels.mix((1 - held) * first + held * self.mixing(out), mixture, bow, e)
        z += bow * s * held * self.correction(out)
        return z

    def slerp(self, z0: Tensor, z1: Tensor, t: Tensor | float) -> Tensor:
        """What the model builds on, and is compared with: the space's slerp. Arguments as of `forward`."""
        shape = self._check(z0, z1, None, None)
        u, v, t, _ = _order(z0.reshape(shape), z1.reshape(shape), self._each(t, len(z0), "t"))
        return (pixels.patch_slerp if self.config.space == file.PATCH_SPACE else slerp)(u, v, t).reshape(z0.shape)

    def estimate(self, z0: Tensor, z1: Tensor, t: Tensor | float) -> dict[str, Tensor]:
        """With a motion head: the library's motion estimate, made on the CPU, for `forward`. Arguments as there."""
        self._check(z0, z1, None, None)
        return pixels.estimate(*_order(z0, z1, self._each(t, len(z0), "t"))[:3])

    def _strength(self, which: str, gap: Tensor) -> Tensor:
        """[B, 1, 1]: strength times trust; 1 while training."""
        if self.training:
            return gap.new_ones(len(gap), 1, 1)
        s = self.config.strengths
        values = [self.trust * (file.strength_at(s, which, g, self.config.motion) if s else 1.0) for g in gap.tolist()]
        return gap.new_tensor(values)[:, None, None]

    def _useful(self, gap: Tensor) -> Tensor:
        """[B] where a guide, or what was learned beside it, is followed at all."""
        s = self.config.strengths
        if self.training or not s:
            return torch.ones_like(gap, dtype=torch.bool)
        followed = [any(file.strength_at(s, which, g, False) > 0 for which in ("guide", "guided")) for g in gap.tolist()]
        return torch.tensor(followed, device=gap.device)

    def _check(self, z0: Tensor, z1: Tensor, guide: Tensor | None, feature: Tensor | None) -> tuple[int, int, int]:
        c = self.config
        dims = {"single": 2, "sequence": 3, "grid": 4}[c.layout]
        if z0.shape != z1.shape or z0.dim() != dims or z0.shape[-1] != c.width or not len(z0):
            raise MismatchError(f"the model takes '{c.layout}' keyframes of {dims} dimensions and width {c.width}, not "
                                f"{list(z0.shape)} and {list(z1.shape)}")
        if z0.dtype != torch.float32 or z1.dtype != torch.float32:
            raise MismatchError(f"keyframes must be float32, not {z0.dtype} and {z1.dtype}")
        if guide is not None and c.guide:
            want = (len(z0), 2, *z0.shape[1:])
            if tuple(guide.shape) != want:
                raise MismatchError(f"a guide of the shape {list(guide.shape)}, expected {list(want)}")
            if feature is None or tuple(feature.shape) != (len(z0), file.GUIDE_FEATURES):
                raise ArgumentError("a guide needs its features, [B, 8]")
        return len(z0), z0[0].numel() // c.width, c.width

    def _each(self, value: Tensor | float, n: int, name: str) -> Tensor:
        device = self.into.weight.device
        v = torch.as_tensor(value, dtype=torch.float32, device=device)
        if v.dim() > 1 or v.dim() == 1 and len(v) != n:
            raise ArgumentError(f"{name} must be one number or [{n}], not {list(v.shape)}")
        return v.expand(n)


def _swap(turn: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """b where turn [B], else a."""
    return torch.where(turn.reshape(-1, *[1] * (a.dim() - 1)), b, a)


def _order(z0: Tensor, z1: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Keyframes and t in (0,1/2] of the sample as it is handled, and whether it was turned round, [B]."""
    turn = _turned(z0, z1, t)
    return _swap(turn, z0, z1), _swap(turn, z1, z0), torch.where(turn, 1 - t, t).clamp(1e-7, 0.5), turn


def _turned(z0: Tensor, z1: Tensor, t: Tensor) -> Tensor:
    """Which samples are turned round: t above 1/2, and at 1/2 those whose first keyframe's bytes are the larger."""
    turn = t > 0.5
    half = (t == 0.5).nonzero().flatten()
    if len(half):
        a, b = (z[half].contiguous().flatten(1).view(torch.uint8).short() for z in (z0, z1))
        at = (a != b).byte().argmax(1, keepdim=True)
        turn = turn.clone()
        turn[half] = (a.gather(1, at) > b.gather(1, at)).flatten()
    return turn


def loss(z: Tensor, target: Tensor, unit: float | Tensor, motion: bool = False) -> Tensor:
    """The mean over samples of what training makes small (docs/model.md, Loss): 0 is perfect, 1 is slerp.

    z, target: [B, ...]. unit: mean squared error of slerp per value, one for all or [B]. Without a motion head
    it is a running mean over the samples seen, with one each sample's own.
    """
    left = (z - target).square().flatten(1).mean(1) / (unit + _ERROR_FLOOR)
    return (torch.log1p(10 * left) / math.log(11) if motion else left).mean()
