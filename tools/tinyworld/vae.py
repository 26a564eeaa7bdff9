"""Trains the world's autoencoder, an AutoencoderTiny of diffusers, and writes its folder.

    python vae.py BANK CHECKPOINT FOLDER [--steps 4000]

Pictures of 64x64 become latents of 8x8x16. Noise on the latents while it learns makes the decoder forgiving.
"""
import os

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny

import bank
from common import Average, Muon, Stage, learn, pictures, rate, training_arguments


def model(channels=16, width=32):
    return AutoencoderTiny(encoder_block_out_channels=(width,) * 4, decoder_block_out_channels=(width,) * 4,
                           num_encoder_blocks=(0, 1, 2, 2), num_decoder_blocks=(2, 2, 1, 0), latent_channels=channels,
                           scaling_factor=1.0)


def steps_of(x):
    """Differences of neighbours: where edges are."""
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def loss_of(y, x):
    edges = sum(F.l1_loss(a, b) for a, b in zip(steps_of(y), steps_of(x)))
    return F.l1_loss(y, x) + 4 * F.mse_loss(y, x) + 0.5 * edges


def quality(vae, x):
    """Mean PSNR of pictures that went through, and the spread of their latents."""
    with torch.no_grad():
        z = vae.encode(x * 2 - 1).latents
        y = (vae.decode(z).sample / 2 + 0.5).clamp(0, 1)
    psnr = -10 * torch.log10((y - x).square().mean((1, 2, 3)))
    return psnr.mean().item(), z.std().item(), z.abs().max().item()


def train(a):
    torch.manual_seed(a.seed)
    vae = model().to(memory_format=torch.channels_last)
    average = Average(vae, 0.998)
    inner = lambda p: p.ndim == 4 and min(p.shape[:2]) >= 32  # not from or to pictures and latents
    opt = Muon([p for p in vae.parameters() if inner(p)], [p for p in vae.parameters() if not inner(p)], a.rate)
    stage = Stage(a.checkpoint, {"model": vae, "average": average, "opt": opt}, a.steps, a.seed)
    drawn, s, _ = bank.load(a.bank)
    plain = int(s["plain"].sum())
    for step, rng in stage:
        n = a.batch // 2
        rows = np.sort(np.concatenate([rng.integers(256, plain, n), rng.integers(plain, len(drawn), a.batch - n)]))
        x = pictures(drawn, rows).contiguous(memory_format=torch.channels_last)
        z = vae.encode(x * 2 - 1).latents
        spread = z.std((0, 2, 3))
        noisy = z + torch.randn_like(z) * 0.2 * torch.rand(len(z), 1, 1, 1)
        y = vae.decode(noisy).sample / 2 + 0.5
        rebuilt = loss_of(y, x)
        centred = (spread - 1).square().mean() + z.mean((0, 2, 3)).square().mean() + F.relu(z.abs() - 3).mean()
        learn(rebuilt + 0.02 * centred, vae, opt, average, step, a.rate * rate(step, a.steps))
        stage.log(every=a.log, loss=rebuilt, centred=centred)
        if (step + 1) % (10 * a.log) == 0:
            print("PSNR, spread, largest:", quality(average.into(model()), pictures(drawn, np.arange(256))), flush=True)
    vae = average.into(vae)
    print("PSNR, spread, largest:", quality(vae, pictures(drawn, np.arange(256))), flush=True)
    vae.half().save_pretrained(a.folder + ".part")
    os.rename(a.folder + ".part", a.folder)


if __name__ == "__main__":
    p = training_arguments(__doc__, "bank", "checkpoint", "folder", steps=4000, batch=16, rate=2e-3)
    train(p.parse_args())
