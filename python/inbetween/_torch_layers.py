"""The parts of the in-between model that have parameters, as torch modules (docs/model.md).

B is the batch, T the tokens of a sample, C channels. Weights have the names and shapes of the adapter file:
linear maps [inputs, outputs], 3x3 convolutions [9, inputs, outputs] with the taps row by row.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._torch_file import GATE_WIDTH, POSITION_FEATURES, TIME_INPUTS, TIME_WIDTH, Config

_NORM_EPS = 1e-5
_FLOOR_RATIO = 1e-3
_GATE_UNIT = 4.0  # an output of 1 opens the gate by this much
_SHARE_UNIT = 2.0  # the same for the share of the last keyframe's picture, as a logit


class Linear(nn.Module):
    """x [..., inputs] -> [..., outputs]."""

    def __init__(self, inputs: int, outputs: int, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(gain * math.sqrt(2 / inputs) * torch.randn(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class Convolution(nn.Module):
    """3x3 over a grid with zero padding: x [B, R, Q, C] -> the same shape."""

    def __init__(self, channels: int, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(gain * math.sqrt(2 / (9 * channels)) * torch.randn(9, channels, channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        c = self.weight.shape[1]
        kernel = self.weight.reshape(3, 3, c, c).permute(3, 2, 0, 1)
        return F.conv2d(x.movedim(-1, 1), kernel, self.bias, padding=1).movedim(1, -1)


class Film(nn.Module):
    """silu(norm(x) (1 + scale) + shift), scale and shift from the time layer.

    dropout: while training, the chance that a channel is left out of a sample; the others grow by 1 / (1 - dropout).
    """

    dropout = 0.0

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.film = Linear(TIME_WIDTH, 2 * channels, 0.0)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.film(time).reshape(len(x), *[1] * (x.dim() - 2), -1).chunk(2, -1)
        y = F.silu(F.layer_norm(x, x.shape[-1:], eps=_NORM_EPS) * (1 + scale) + shift)
        return y * F.dropout(torch.ones_like(scale), self.dropout) if self.training and self.dropout else y


class Block(Film):
    """x + mix2(silu(mix1(film(x)))), in sequences with what the tokens learn from each other added."""

    def __init__(self, channels: int, layout: str) -> None:
        super().__init__(channels)
        if layout == "grid":
            mixes: list[nn.Module] = [Convolution(channels), Convolution(channels, 0.2)]
        else:
            mixes = [Linear(channels, channels), Linear(channels, channels, 0.2)]
        self.mix1, self.mix2 = mixes
        if layout == "sequence":
            self.qkv, self.attend = Linear(channels, 3 * channels), Linear(channels, channels, 0.2)
            self.heads = channels // next(n for n in (64, 32, 16) if channels % n == 0)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = super().forward(x, time)
        y: Tensor = x + self.mix2(F.silu(self.mix1(h)))
        if hasattr(self, "qkv"):
            b, t, c = h.shape
            q, k, v = self.qkv(h).reshape(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            y = y + self.attend(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, c))
        return y


def gather2x2(x: Tensor) -> Tensor:
    """[B, R, Q, C] -> [B, ceil(R/2), ceil(Q/2), 4C]: the 2x2 tokens under each coarse one, zero beyond an edge."""
    b, r, q, c = x.shape
    x = F.pad(x, (0, 0, 0, q % 2, 0, r % 2)).reshape(b, (r + 1) // 2, 2, (q + 1) // 2, 2, c)
    return x.permute(0, 1, 3, 2, 4, 5).flatten(3)


def scatter2x2(x: Tensor, rows: int, cols: int) -> Tensor:
    """The way back, to [B, rows, cols, C]."""
    b, r, q, c = x.shape
    x = x.reshape(b, r, q, 2, 2, c // 4).permute(0, 1, 3, 2, 4, 5).reshape(b, 2 * r, 2 * q, c // 4)
    return x[:, :rows, :cols]


class Trunk(nn.Module):
    """features [B, T, F] (grid: [B, R, Q, F]) -> what the heads read, [..., C]."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.time = Linear(TIME_INPUTS, TIME_WIDTH)
        self.into = Linear(c.features, c.fine)
        self.before = nn.ModuleList(Block(c.fine, c.layout) for _ in range(c.fine_blocks))
        if c.coarse_blocks:
            self.down, self.up = Linear(4 * c.fine, c.coarse), Linear(c.coarse, 4 * c.fine)
            self.coarse = nn.ModuleList(Block(c.coarse, c.layout) for _ in range(c.coarse_blocks))
        self.after = nn.ModuleList(Block(c.fine, c.layout) for _ in range(c.fine_blocks))
        self.out = Film(c.fine)

    def run(self, features: Tensor, t: Tensor, gap_seconds: Tensor) -> Tensor:
        time = F.silu(self.time(time_features(t, gap_seconds)))
        x: Tensor = self.into(features)
        for block in self.before:
            x = block(x, time)
        if hasattr(self, "coarse"):
            below = self.down(gather2x2(x))
            for block in self.coarse:
                below = block(below, time)
            x = x + scatter2x2(self.up(below), x.shape[1], x.shape[2])
        for block in self.after:
            x = block(x, time)
        out: Tensor = self.out(x, time)
        return out


def time_features(t: Tensor, gap_seconds: Tensor) -> Tensor:
    """t, gap_seconds [B] -> [B, 16]."""
    gap = torch.log2(gap_seconds.clamp(min=1e-3)) / 4
    angles = [(k + 1) * math.pi * t for k in range(6)]
    waves = [f(a) for a in angles for f in (torch.cos, torch.sin)]
    return torch.stack([*waves, gap, gap * gap, torch.cos(3 * gap), torch.sin(3 * gap)], -1)


def position_features(tokens: int) -> Tensor:
    """[T, 21]: where the tokens of a sequence lie, row and column in a square of patches with or without one before."""
    side, extra = 0, 0
    for before in (0, 1):
        n = math.isqrt(tokens - before)
        if n > 1 and n * n == tokens - before:
            side, extra = n, before
            break
    k = torch.arange(tokens, dtype=torch.float64)
    if side:
        x = torch.stack([(k - extra).div(side, rounding_mode="floor") / side, (k - extra).remainder(side) / side])
    else:
        x = torch.stack([k / tokens, (16 * k / tokens).remainder(1)])
    octave = 2.0 ** torch.arange((POSITION_FEATURES - 1) // 4, dtype=torch.float64)
    angle = math.pi * x[:, :, None] * octave  # [2, T, octaves]
    waves = torch.stack([angle.sin(), angle.cos()], -1).permute(1, 0, 2, 3).flatten(1)
    alone = (k < extra).double()[:, None]
    return torch.cat([alone, waves * (1 - alone)], 1).float()


class _Open(torch.autograd.Function):
    """Clamps to [0,1]; at the ends the gradient passes where it leads inside, so a closed gate can open."""

    @staticmethod
    def forward(ctx: Any, g: Tensor) -> Tensor:
        ctx.save_for_backward(g)
        return g.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> Tensor:
        (g,) = ctx.saved_tensors
        return torch.where(((g > 0) | (d < 0)) & ((g < 1) | (d > 0)), d, 0)


class Gate(Linear):
    """How far each token follows the guide, and the part of the guide's last picture (docs/model.md, Guides)."""

    def __init__(self, c: Config) -> None:
        super().__init__(GATE_WIDTH, 2, 0.0)
        self.into = Linear(c.gate_inputs, GATE_WIDTH)

    def open(self, features: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """features [B, T, inputs], t [B] -> gate, share [B, T]."""
        g, r = self(F.silu(self.into(features))).unbind(-1)
        odds = torch.log(t / (1 - t))[:, None]
        gate: Tensor = _Open.apply(_GATE_UNIT * g)  # type: ignore[no-untyped-call]
        return gate, torch.sigmoid(_SHARE_UNIT * r + odds)


def _log_ratio(a: Tensor, b: Tensor) -> Tensor:
    return 0.5 * torch.log((a + _FLOOR_RATIO * b + 1e-12) / (b + 1e-12))


def _cosine(ab: Tensor, aa: Tensor, bb: Tensor) -> Tensor:
    return ab / torch.sqrt(aa * bb + 1e-12)


def _token_features(s: dict[str, Tensor], n: int) -> Tensor:
    """From sums of products over n values, the 12 features of a token or of all tokens together."""
    return torch.stack([
        0.25 * torch.log(s["dd"] / n + 1e-6),
        0.25 * torch.log(s["mm"] / n + 1e-6),
        _log_ratio(s["mm"], s["dd"]),
        _cosine(s["mu"], s["mm"], s["uu"]),
        _cosine(s["mv"], s["mm"], s["vv"]),
        _log_ratio(s["ss"] + 2 * s["ms"] + s["mm"], s["ss"]),
        _log_ratio(s["uu"], s["dd"]),
        _log_ratio(s["vv"], s["dd"]),
        _log_ratio(s["aa"] + s["bb"] - 2 * s["ab"], s["dd"]),
        _cosine(s["ab"], s["aa"], s["bb"]),
        _log_ratio(s["aa"], s["dd"]),
        _log_ratio(s["bb"], s["dd"]),
    ], -1)


def gate_features(z0: Tensor, z1: Tensor, slerp: Tensor, first: Tensor, last: Tensor, t: Tensor,
                  gap_seconds: Tensor, feature: Tensor, many: bool) -> Tensor:
    """[B, T, inputs] of the gate.

    z0, z1, slerp [B, T, D]; first, last: the guide's pictures less slerp, [B, T, D]; t, gap_seconds [B];
    feature [B, 8], all of the ordered sample; many: a layout of many tokens.
    """
    b, tokens, width = z0.shape
    d, u, v = z1 - z0, z0 - slerp, z1 - slerp
    m = first + t[:, None, None] * (last - first)
    part = {"d": d, "u": u, "v": v, "s": slerp, "a": first, "b": last, "m": m}
    sums = {p: (part[p[0]] * part[p[1]]).sum(-1)
            for p in ("dd", "uu", "vv", "ss", "aa", "bb", "ab", "mm", "mu", "mv", "ms")}
    parts = [_token_features(sums, width)]
    if many:
        whole = _token_features({k: s.sum(-1) for k, s in sums.items()}, tokens * width)
        parts.append(whole[:, None].expand(b, tokens, -1))
    gap = torch.log2(gap_seconds.clamp(min=1e-3)) / 4
    apart = feature[:, 2] + _FLOOR_RATIO
    rest = [t, 4 * t * (1 - t), gap, gap * gap, gap + 0.25 * torch.log2(t + _FLOOR_RATIO)]
    rest += [0.5 * torch.log((feature[:, k] + _FLOOR_RATIO) / apart) for k in (0, 1, 3)]
    rest += list((0.25 * torch.log(feature + _FLOOR_RATIO)).unbind(-1))
    parts.append(torch.stack(rest, -1)[:, None].expand(b, tokens, -1))
    return torch.cat(parts, -1)


def slerp(z0: Tensor, z1: Tensor, t: Tensor) -> Tensor:
    """Spherical interpolation of each token, norms linear (latent/geometry.h). z0, z1 [B, T, D], t [B]."""
    kind = torch.float32 if z0.device.type == "mps" else torch.float64
    u, v, t = z0.to(kind), z1.to(kind), t.to(kind)[:, None, None]
    nu, nv = u.norm(dim=-1, keepdim=True), v.norm(dim=-1, keepdim=True)
    zero = (nu < 1e-20) | (nv < 1e-20)
    a, b = u / nu.clamp(min=1e-20), v / nv.clamp(min=1e-20)
    w = 2 * torch.atan2((a - b).norm(dim=-1, keepdim=True), (a + b).norm(dim=-1, keepdim=True))
    linear = zero | (w < 1e-4) | (z0.shape[-1] == 1)
    opposite = ~linear & (math.pi - w < 1e-4)
    length = (1 - t) * nu + t * nv
    safe = torch.where(linear | opposite, 1.0, w)
    turned = length / safe.sin() * (torch.sin((1 - t) * safe) * a + torch.sin(t * safe) * b)
    out = torch.where(linear, (1 - t) * u + t * v, turned)
    if bool(opposite.any()):
        axis = F.one_hot(u.abs().argmin(-1), u.shape[-1]).to(kind)
        c = (a * axis).sum(-1, keepdim=True)
        across = (axis - c * a) / (1 - c * c).sqrt()
        out = torch.where(opposite, length * (torch.cos(t * math.pi) * a + torch.sin(t * math.pi) * across), out)
    return out.float()
