"""The patch space's side of the in-between model (docs/model.md, The flow of one sample).

The motion estimate comes from the library, on the CPU; what has parameters or gradients is torch. Grids are
[B, R, Q, ...] of tokens; cells, 4x4 luma px each, are [B, ..., 2R, 2Q].
"""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ._library import Handle, call, ffi, lib
from ._torch_file import CELL_OUTPUTS, FIRST_MIXING, MIXINGS, PATCH_WIDTH
from .errors import NonfiniteError

_FLOW_UNIT_PX = 8.0  # an output of 1 moves by this much over the whole gap
_MEANS = (0, 64, 80)  # coefficients that are the mean of one of a token's three blocks
_local = threading.local()


def _estimator(rows: int, cols: int) -> Handle:
    """This thread's, of one size at a time."""
    if getattr(_local, "size", None) != (rows, cols):
        new = ffi.new("ib_estimate **")
        call(lib.ib_estimate_create, new, rows, cols)
        _local.handle = Handle("ib_estimate", new[0], lib.ib_estimate_free, "motion estimate")
        _local.size = rows, cols
    handle: Handle = _local.handle
    return handle


def estimate(z0: Tensor, z1: Tensor, t: Tensor) -> dict[str, Tensor]:
    """What the model starts from, of ordered samples (t up to 1/2), on the device of z0; by torch's number of threads.

    z0, z1: [B, R, Q, 96]; t: [B]. NonfiniteError if a keyframe is not finite. Parts, each with B in front: slerp,
    carried0, carried1 [R, Q, 96]; hypothesis [3, R, Q, 96]; seen [R, Q, 74]; gate [2R, 2Q] in [0,1]; prior
    [2, 2R, 2Q] px over the whole gap; splines of the keyframes: luma0, luma1 [1, 8R+2, 8Q+2] and chroma0,
    chroma1 [2, 4R+2, 4Q+2].
    """
    b, rows, cols, width = z0.shape
    keys = [np.ascontiguousarray(z.detach().to("cpu", torch.float32).numpy()) for z in (z0, z1)]
    if not all(np.isfinite(k).all() for k in keys):
        raise NonfiniteError("keyframes: cannot be used: they hold a number that is not finite")
    shapes = {
        "slerp": (rows, cols, width),
        "carried0": (rows, cols, width),
        "carried1": (rows, cols, width),
        "hypothesis": (lib.IB_ESTIMATE_HYPOTHESES, rows, cols, width),
        "seen": (rows, cols, lib.IB_ESTIMATE_SEEN),
        "gate": (2 * rows, 2 * cols),
        "prior": (2, 2 * rows, 2 * cols),
        "spline0": (lib.ib_estimate_spline_floats(rows, cols),),
        "spline1": (lib.ib_estimate_spline_floats(rows, cols),),
    }
    parts = {name: np.empty((b, *shape), np.float32) for name, shape in shapes.items()}
    places, threads = t.tolist(), min(b, torch.get_num_threads())

    def make(samples: range) -> None:
        with _estimator(rows, cols).use() as e:
            for i in samples:
                to = ffi.new("ib_estimate_parts *", {k: ffi.from_buffer("float[]", p[i]) for k, p in parts.items()})
                call(lib.ib_estimate_make, e, *(ffi.from_buffer("float[]", k[i]) for k in keys), places[i], to)

    if threads == 1:
        make(range(b))
    else:  # threads of this call alone: a process that forks has none of them
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(make, [range(k, b, threads) for k in range(threads)]))
    out = {name: torch.from_numpy(p).to(z0.device) for name, p in parts.items()}
    luma = (8 * rows + 2) * (8 * cols + 2)
    for k in "01":
        spline = out.pop(f"spline{k}")
        out[f"luma{k}"] = spline[:, :luma].reshape(b, 1, 8 * rows + 2, 8 * cols + 2)
        out[f"chroma{k}"] = spline[:, luma:].reshape(b, 2, 4 * rows + 2, 4 * cols + 2)
    return out


def patch_slerp(z0: Tensor, z1: Tensor, t: Tensor) -> Tensor:
    """The patch space's slerp, by the library. z0, z1: [B, T, 96]; t: [B]."""
    keys = [np.ascontiguousarray(z.detach().to("cpu", torch.float32).numpy()) for z in (z0, z1)]
    out = np.empty_like(keys[0])
    geometry = lib.ib_geometry_of(b"patch:dct8+4:v1")
    for i, at in enumerate(t.tolist()):
        a, b, z = (ffi.from_buffer("float[]", k[i]) for k in (*keys, out))
        lib.ib_slerp_in(geometry, a, b, at, keys[0][i].size // PATCH_WIDTH, PATCH_WIDTH, z)
    return torch.from_numpy(out).to(z0.device)


def pixel_features(z0: Tensor, z1: Tensor, s: Tensor, floor: float, e: dict[str, Tensor]) -> Tensor:
    """What the trunk sees, [B, R, Q, 361]: magnitudes without signs, logarithms of distances, the motion estimate.

    s: [B, R, Q, 1], RMS distance of the keyframes; floor: what is added to it.
    """
    u, v, inverse = e["carried0"], e["carried1"], 1 / (s + floor)
    keep = [i for i in range(PATCH_WIDTH) if i not in _MEANS]
    carried = (v - u).square().mean(-1, keepdim=True).sqrt()
    return torch.cat([(0.5 * (u + v)).abs()[..., keep], (v - u).abs() * inverse, (z1 - z0).abs() * inverse,
                      torch.log(s + floor), torch.log(carried + floor), e["seen"]], -1)


def motion_fields(motion: Tensor, e: dict[str, Tensor]) -> Tensor:
    """The motion head's outputs [B, R, Q, 24] -> V0x, V0y, V1x, V1y and the mask, [B, 5, 2R, 2Q]."""
    b, r, q, _ = motion.shape
    p = motion.reshape(b, r, q, 2, 2, CELL_OUTPUTS).permute(0, 5, 1, 3, 2, 4).reshape(b, CELL_OUTPUTS, 2 * r, 2 * q)
    flows = (1 + p[:, 5:6]) * e["prior"].repeat(1, 2, 1, 1) + _FLOW_UNIT_PX * e["gate"][:, None] * p[:, :4]
    return torch.cat([flows, p[:, 4:5]], 1)


def _weights(v: Tensor) -> list[Tensor]:
    """Of the four spline coefficients about a sample that lies v behind the second."""
    u = 1 - v
    return [u * u * u / 6, 2 / 3 - 0.5 * v * v * (2 - v), 2 / 3 - 0.5 * u * u * (2 - u), v * v * v / 6]


def _place(x: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The first of a coordinate's four coefficients, and how far it lies behind the second. Clamped to the picture."""
    inside = (x > 0) & (x < most)
    x = torch.where(inside, x, torch.nan_to_num(x.detach(), nan=float(most)).clamp(0, most))
    at = x.detach().floor().clamp(max=most - 1)
    return at.long(), x - at


def warp(spline: Tensor, fx: Tensor, fy: Tensor) -> Tensor:
    """[B, P, H, W]: the splines [B, P, H+2, W+2] sampled fx, fy [B, H, W] px from each px."""
    b, planes, h, w = spline.shape
    x, vx = _place(torch.arange(w - 2, device=fx.device) + fx, w - 3)
    y, vy = _place(torch.arange(h - 2, device=fx.device)[:, None] + fy, h - 3)
    wx, wy, flat, out = _weights(vx), _weights(vy), spline.flatten(2), spline.new_zeros(())
    for i in range(4):
        row = spline.new_zeros(())
        for j in range(4):
            at = ((y + i) * w + x + j).reshape(b, 1, -1).expand(-1, planes, -1)
            row = row + wx[j][:, None] * flat.gather(2, at).reshape(b, planes, h - 2, w - 2)
        out = out + wy[i][:, None] * row
    return out


def blend(fields: Tensor, t: Tensor, e: dict[str, Tensor]) -> Tensor:
    """[B, R, Q, 96]: both keyframes carried along their flows and mixed (motion/blend.h)."""
    planes, odds = [], torch.log((1 - t) / t)[:, None, None]
    for name, gain in (("luma", 1.0), ("chroma", 0.5)):
        h, w = (n - 2 for n in e[f"{name}0"].shape[2:])
        f = F.interpolate(fields, (h, w), mode="bilinear", align_corners=False)
        back, on = (-gain * t)[:, None, None], (gain * (1 - t))[:, None, None]
        w0 = warp(e[f"{name}0"], back * f[:, 0], back * f[:, 1])
        w1 = warp(e[f"{name}1"], on * f[:, 2], on * f[:, 3])
        m = torch.sigmoid(f[:, 4] + odds)[:, None]
        planes.append(w1 + m * (w0 - w1))
    return torch.cat([_transform(planes[0][:, 0], 8), _transform(planes[1][:, 0], 4),
                      _transform(planes[1][:, 1], 4)], -1)


def _transform(plane: Tensor, n: int) -> Tensor:
    """[B, n R, n Q] -> [B, R, Q, n n]: the orthonormal DCT-II of each block, vertical frequency first."""
    k = torch.arange(n, dtype=torch.float64)
    d = math.sqrt(2 / n) * torch.cos((2 * k + 1) * k[:, None] * math.pi / (2 * n))
    d[0] /= math.sqrt(2)
    d = d.to(plane.device, plane.dtype)
    b, h, w = plane.shape
    x = plane.reshape(b, h // n, n, w // n, n).permute(0, 1, 3, 2, 4)
    return (d @ x @ d.T).flatten(3)


def first_mixing(width: int) -> Tensor:
    """[5 width]: what the mixing head says before it has learnt anything."""
    return torch.tensor(FIRST_MIXING).repeat_interleave(width)


def mix(mixing: Tensor, mixture: Tensor, bow: Tensor, e: dict[str, Tensor]) -> Tensor:
    """blend + a (slerp - blend) + bow b tilt + sum of c_k (hypothesis_k - blend).

    mixing: [B, R, Q, 5 D]; mixture: the blend, [B, R, Q, D]; bow: 4t(1-t), broadcast over it.
    """
    a, b, *c = mixing.reshape(*mixing.shape[:-1], MIXINGS, -1).unbind(-2)
    z: Tensor = mixture + a * (e["slerp"] - mixture) + bow * b * (e["carried0"] - e["carried1"])
    for k, weight in enumerate(c):
        z = z + weight * (e["hypothesis"][:, k] - mixture)
    return z
