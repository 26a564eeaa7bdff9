"""Puts a part of a bank through the autoencoder and the image tower, once: latents and pooled embeddings as files.

    python encode.py BANK VAE CLIP [--plain 60000] [--full 20000]

The first 256 pictures of a bank are for measuring and left out.
"""
import argparse
import os

import numpy as np
import torch

import bank
from common import load_clip, load_vae, pictures, pixels

PIECE = 500


@torch.inference_mode()
def encode(folder, vae, clip, plain, full):
    vae, clip = load_vae(vae), load_clip(clip)
    drawn, s, _ = bank.load(folder)
    first = int(s["plain"].sum())
    rows = np.concatenate([np.arange(256, min(plain, first)), np.arange(first, min(first + full, len(drawn)))])
    n = len(rows)
    mark = f"{folder}/encoded.part"
    done = int(open(mark).read()) if os.path.exists(mark) else 0
    shapes = {"latents": (n, vae.config.latent_channels, 8, 8), "pooled": (n, clip.config.projection_dim)}
    out = {k: np.lib.format.open_memmap(f"{folder}/{k}.npy", "r+" if done else "w+", np.float16, None if done else v)
           for k, v in shapes.items()}
    for i in range(done, n, PIECE):
        x = pictures(drawn, rows[i:i + PIECE])
        out["latents"][i:i + PIECE] = vae.encode(x * 2 - 1).latents.numpy()
        out["pooled"][i:i + PIECE] = clip.get_image_features(pixel_values=pixels(x)).pooler_output.numpy()
        with open(mark, "w") as f:
            f.write(str(i + PIECE))
        if i // PIECE % 20 == 0:
            print(f"{i} of {n}", flush=True)
    np.save(f"{folder}/encoded.npy", rows)
    os.remove(mark)


class Encoded:
    """What encode.py wrote, and the bank it came from."""

    def __init__(self, folder):
        self.drawn, s, self.tokens = bank.load(folder)
        self.rows = np.load(f"{folder}/encoded.npy")
        self.latents, self.pooled = (torch.from_numpy(np.load(f"{folder}/{k}.npy")) for k in ("latents", "pooled"))
        self.plain = int(s["plain"][self.rows].sum())

    def batch(self, rng, n, plain):
        """Latents, pooled embeddings, tokens of a caption each, and a function of numbers in the batch that gives
        their pictures. plain: share of plain scenes."""
        few = int(n * plain)
        at = np.sort(np.concatenate([rng.integers(0, self.plain, few),
                                     rng.integers(self.plain, len(self.rows), n - few)]))
        rows = self.rows[at]
        ids = torch.from_numpy(self.tokens[rows, rng.integers(0, bank.WORDINGS, n)].astype(np.int64))
        return self.latents[at].float(), self.pooled[at].float(), ids, lambda r: pictures(self.drawn, rows[r])


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("bank")
    p.add_argument("vae")
    p.add_argument("clip")
    p.add_argument("--plain", type=int, default=60000)
    p.add_argument("--full", type=int, default=20000)
    a = p.parse_args()
    encode(a.bank, a.vae, a.clip, a.plain, a.full)
