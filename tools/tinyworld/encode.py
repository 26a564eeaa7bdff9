"""Puts a bank's pictures through the autoencoder and the image tower, once: latents and pooled embeddings as files.

    python encode.py BANK VAE CLIP
"""
import argparse
import os

import numpy as np
import torch

import bank
from common import load_clip, load_vae, pictures, pixels

PIECE = 500


@torch.inference_mode()
def encode(folder, vae, clip):
    vae, clip = load_vae(vae), load_clip(clip)
    drawn, _, _ = bank.load(folder)
    n, c = len(drawn), vae.config.latent_channels
    paths = {k: f"{folder}/{k}.npy" for k in ("latents", "pooled")}
    shapes = {"latents": (n, c, 8, 8), "pooled": (n, clip.config.projection_dim)}
    mark = f"{folder}/encoded.txt"
    done = int(open(mark).read()) if os.path.exists(mark) else 0
    out = {k: np.lib.format.open_memmap(p, "r+" if done else "w+", np.float16, None if done else shapes[k])
           for k, p in paths.items()}
    for i in range(done, n, PIECE):
        x = pictures(drawn, slice(i, i + PIECE))
        out["latents"][i:i + PIECE] = vae.encode(x * 2 - 1).latents.numpy()
        out["pooled"][i:i + PIECE] = clip.get_image_features(pixel_values=pixels(x)).pooler_output.numpy()
        with open(mark, "w") as f:
            f.write(str(i + PIECE))
        if i % 10000 == 0:
            print(f"{i} of {n}", flush=True)
    os.rename(mark, f"{folder}/encoded.done")


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("bank")
    p.add_argument("vae")
    p.add_argument("clip")
    a = p.parse_args()
    encode(a.bank, a.vae, a.clip)
