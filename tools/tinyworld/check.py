"""Figures of the finished world on fresh plain scenes, as JSON: what check.sh SEED prints.

    python check.py WORLD INBETWEEN [--seed 1] [--n 100]

retrieval: share of pictures that find their caption among 128, and of captions that find their picture; equal captions
count. pooled, hidden: pictures that `inbetween render` draws from held-out pictures' embeddings: cosine of their own
embedding with the one asked for ("other": with a random other picture's), and how many objects have the right colour,
shape and place (to a fifth of the picture), read from pixels. prompt: the same for their captions. vae: the
autoencoder alone, the ceiling.
"""
import argparse
import json
import os
import subprocess
import tempfile

import numpy as np
import torch
from PIL import Image

import captions
import scenes
from clip import fresh_retrieval
from common import load_vae
from sample import decode, figures, sheet
from unet import Towers

PLAIN = ["-n", "3", "--strength", "1", "--diffuse-every", "1", "--size", "64x64", "--guide", "none", "--overwrite"]


def run(folder, a, frame, *words):
    """One of three pictures. The middle one begins with noise alone; a prompt's own is the first."""
    made = subprocess.run([a.inbetween, "render", *words, "-o", f"{folder}/out-%d.png", *PLAIN, "--renderer", a.world,
                           "--seed", "7", "--steps", str(a.steps), "--guidance", str(a.guidance)],
                          capture_output=True, text=True)
    if made.returncode:
        raise SystemExit(made.stderr)
    return np.asarray(Image.open(f"{folder}/out-{frame}.png").convert("RGB"))


def from_picture(folder, a, picture, plus):
    path = f"{folder}/key.png"
    Image.fromarray(picture).save(path)
    adapter = f"{a.world}/ip-adapter{'-plus' if plus else ''}.safetensors"
    return run(folder, a, 2, path, path, "--space", f"clip:{a.world}/clip", "--tokens",
               "penultimate" if plus else "pooled", "--ip-adapter", adapter, "--condition", "image")


def from_prompt(folder, a, text):
    return run(folder, a, 1, "text:" + text, "text:" + text, "--space", f"text:{a.world}")


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("world")
    p.add_argument("inbetween")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--n", type=int, default=100)
    p.add_argument("--steps", type=int, default=12)
    p.add_argument("--guidance", type=float, default=2)
    p.add_argument("--sheet", help="a PNG of what was drawn")
    a = p.parse_args()
    torch.set_flush_denormal(True)
    towers, vae = Towers(f"{a.world}/clip"), load_vae(f"{a.world}/vae")
    rng = np.random.default_rng([66, a.seed])
    s = scenes.sample(rng, a.n, True)
    truth = scenes.draw(s)
    texts = [captions.caption(rng, s, i, whole=True) for i in range(a.n)]
    with torch.inference_mode():
        rows = {"vae": decode(vae, vae.encode(torch.from_numpy(truth).permute(0, 3, 1, 2).float() / 127.5 - 1).latents)}
    with tempfile.TemporaryDirectory() as folder:
        rows["pooled"] = np.stack([from_picture(folder, a, t, False) for t in truth])
        rows["hidden"] = np.stack([from_picture(folder, a, t, True) for t in truth])
        rows["prompt"] = np.stack([from_prompt(folder, a, t) for t in texts])
    found = fresh_retrieval(towers.model, a.seed)
    out = {"seed": a.seed, "n": a.n, "retrieval": {"pictures": round(found[0], 4), "captions": round(found[1], 4)},
           **{k: figures(towers, truth, s, v) for k, v in rows.items()},
           "bytes": sum(os.path.getsize(os.path.join(d, f)) for d, _, fs in os.walk(a.world) for f in fs)}
    print(json.dumps(out, indent=1))
    if a.sheet:
        sheet([truth, *rows.values()], a.sheet)
