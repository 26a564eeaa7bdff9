"""Training speed of the default in-between model in PyTorch on the CPU, to set beside build/bench_step.

    python3 tools/yardstick.py [--batch 16] [--rows 14] [--cols 24] [--fine 64] [--coarse 128] [--fine-blocks 2]
                               [--coarse-blocks 3] [--threads 2] [--seconds 20] [--dtype float32] [--processor-time]

The same trunk, heads, warps and transforms: forward, backward and AdamW on random latents. The motion prior and the hypotheses (optical
flow, block matching and carrying, which nothing is propagated through) are left out here and random ones are given instead, to PyTorch's
advantage. --dtype bfloat16 computes in that where PyTorch's autocast does; weights and their update stay float32. --processor-time counts
the process's own time instead of the wall's: for machines that others use too, with --threads 1. Debian: apt-get install python3-torch
python3-numpy.
"""
import argparse
import math
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

p = argparse.ArgumentParser()
for name, default in (("batch", 16), ("rows", 14), ("cols", 24), ("fine", 64), ("coarse", 128), ("fine-blocks", 2),
                      ("coarse-blocks", 3), ("threads", 2), ("seconds", 20)):
    p.add_argument("--" + name, type=int, default=default)
p.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
p.add_argument("--processor-time", action="store_true")
a = p.parse_args()
clock = time.process_time if a.processor_time else time.monotonic
torch.set_num_threads(a.threads)
torch.manual_seed(0)
D, CELL_FEATURES, CELL_OUTPUTS, TIME, HYPOTHESES = 96, 23, 6, 64, 3


def dct(n):
    k, i = torch.arange(n)[:, None].float(), torch.arange(n)[None].float()
    m = torch.cos(math.pi * (2 * i + 1) * k / (2 * n)) * math.sqrt(2 / n)
    m[0] /= math.sqrt(2)
    return torch.einsum("ai,bj->abij", m, m).reshape(n * n, n * n)


DCT8, DCT4 = dct(8), dct(4)


def to_planes(z):
    """[B,96,r,c] -> luma [B,1,8r,8c], chroma [B,2,4r,4c]"""
    b, _, r, c = z.shape
    luma = F.pixel_shuffle(torch.einsum("oc,borw->bcrw", DCT8, z[:, :64]), 8)
    chroma = torch.einsum("oc,bkorw->bkcrw", DCT4, z[:, 64:].reshape(b, 2, 16, r, c)).reshape(b, 32, r, c)
    return luma, F.pixel_shuffle(chroma, 4)


def to_latent(luma, chroma):
    luma, chroma = F.pixel_unshuffle(luma, 8), F.pixel_unshuffle(chroma, 4)
    b, _, r, c = luma.shape
    chroma = torch.einsum("oc,bkcrw->bkorw", DCT4, chroma.view(b, 2, 16, r, c)).reshape(b, 32, r, c)
    return torch.cat([torch.einsum("oc,bcrw->borw", DCT8, luma), chroma], 1)


def warp(y, flow):
    _, _, h, w = y.shape
    gy, gx = torch.meshgrid(torch.arange(h).float(), torch.arange(w).float(), indexing="ij")
    at = torch.stack([(gx + flow[:, 0]) / (w - 1) * 2 - 1, (gy + flow[:, 1]) / (h - 1) * 2 - 1], -1)
    return F.grid_sample(y, at, padding_mode="border", align_corners=True)


def grow(x, factor):
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class Film(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, self.film = c, nn.Linear(TIME, 2 * c)

    def forward(self, x, features):
        scale, shift = self.film(features)[:, :, None, None].chunk(2, 1)
        n = F.layer_norm(x.permute(0, 2, 3, 1), (self.c,)).permute(0, 3, 1, 2)
        return F.silu(n * (1 + scale) + shift)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.film, self.mix1, self.mix2 = Film(c), nn.Conv2d(c, c, 3, padding=1), nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x, features):
        return x + self.mix2(F.silu(self.mix1(self.film(x, features))))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.time = nn.Linear(16, TIME)
        self.into = nn.Conv2d(3 * D - 3 + 2 + 4 * CELL_FEATURES, a.fine, 1)
        self.before = nn.ModuleList(Block(a.fine) for _ in range(a.fine_blocks))
        self.down = nn.Conv2d(a.fine, a.coarse, 2, 2)
        self.middle = nn.ModuleList(Block(a.coarse) for _ in range(a.coarse_blocks))
        self.up = nn.Conv2d(a.coarse, 4 * a.fine, 1)
        self.after = nn.ModuleList(Block(a.fine) for _ in range(a.fine_blocks))
        self.out = Film(a.fine)
        self.heads = nn.Conv2d(a.fine, (3 + HYPOTHESES) * D + 4 * CELL_OUTPUTS, 1)

    def forward(self, z0, z1, t, times, prior, gate, cells, others):
        features, tt = F.silu(self.time(times)), t[:, None, None, None]
        s = (z1 - z0).pow(2).mean(1, keepdim=True).sqrt()
        (y0, c0), (y1, c1) = to_planes(z0), to_planes(z1)
        with torch.no_grad():
            wide, half = grow(prior, 4), grow(prior, 2) / 2
            w0 = to_latent(warp(y0, -tt * wide), warp(c0, -tt * half))
            w1 = to_latent(warp(y1, (1 - tt) * wide), warp(c1, (1 - tt) * half))
            sw = (w1 - w0).pow(2).mean(1, keepdim=True).sqrt()
            strong = torch.cat([m[:, 1:] for m in ((w0 + w1) / 2).abs().split([64, 16, 16], 1)], 1)
            seen = torch.cat([strong, (w1 - w0).abs() / (s + 1e-3), (z1 - z0).abs() / (s + 1e-3), (s + 1e-3).log(), (sw + 1e-3).log(), cells], 1)
        x = self.into(seen)
        for block in self.before:
            x = block(x, features)
        y = self.down(F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2)))
        for block in self.middle:
            y = block(y, features)
        x = x + F.pixel_shuffle(self.up(y), 2)[..., :x.shape[2], :x.shape[3]]
        for block in self.after:
            x = block(x, features)
        correction, toward, tilt, follow, motion = self.heads(self.out(x, features)).split([D, D, D, HYPOTHESES * D, 4 * CELL_OUTPUTS], 1)
        o = F.pixel_shuffle(motion, 2)
        v = torch.cat([prior, prior], 1) * (1 + o[:, 5:]) + 8 * gate * o[:, :4]
        odds = torch.log((1 - tt) / tt)

        def blend(i0, i1, factor):
            f, m = grow(v, factor) * (factor / 4), torch.sigmoid(grow(o[:, 4:5], factor) + odds)
            return m * warp(i0, -tt * f[:, :2]) + (1 - m) * warp(i1, (1 - tt) * f[:, 2:])

        z, bow = to_latent(blend(y0, y1, 4), blend(c0, c1, 2)), 4 * tt * (1 - tt)
        base = (1 - tt) * z0 + tt * z1  # slerp costs nothing beside the rest
        followed = (follow.unflatten(1, (HYPOTHESES, D)) * (others - z[:, None])).sum(1)
        return z + toward * (base - z) + followed + bow * (tilt * (w0 - w1) + s * correction)


model = Model()
optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
z0, z1, z = (torch.randn(a.batch, D, a.rows, a.cols) for _ in range(3))
t, times = torch.rand(a.batch) * .8 + .1, torch.randn(a.batch, 16)
prior, gate = torch.randn(a.batch, 2, 2 * a.rows, 2 * a.cols) * 4, torch.rand(a.batch, 1, 2 * a.rows, 2 * a.cols)
cells, others = torch.randn(a.batch, 4 * CELL_FEATURES, a.rows, a.cols), torch.randn(a.batch, HYPOTHESES, D, a.rows, a.cols)


def step():
    optimiser.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=a.dtype == "bfloat16"):
        made = model(z0, z1, t, times, prior, gate, cells, others)
    ((made.float() - z) ** 2).mean().backward()
    optimiser.step()


for _ in range(3):
    step()
start, steps = clock(), 0
while clock() - start < a.seconds:
    step()
    steps += 1
print(f"PyTorch {torch.__version__}: {sum(w.numel() for w in model.parameters())} parameters, {a.threads} threads, {a.dtype}: "
      f"{steps * a.batch / (clock() - start):.1f} samples/s{' of processor time' if a.processor_time else ''}")
