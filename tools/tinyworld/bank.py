"""A bank of scenes on disk: pictures, what is in them, and four captions each, as token numbers.

    python bank.py FOLDER [--plain 100000] [--full 60000] [--seed 1]
"""
import argparse
import multiprocessing
import os

import numpy as np

import captions
import scenes

PIECE, WORDINGS, LONGEST = 4000, 4, 56


def _piece(job):
    path, at, n, plain, seed = job
    rng = np.random.default_rng([seed, at])
    s = scenes.sample(rng, n, plain)
    np.load(path, mmap_mode="r+")[at:at + n] = scenes.draw(s)
    texts = [captions.caption(rng, s, i) for i in range(n) for _ in range(WORDINGS)]
    return s, captions.Words()(texts, LONGEST).reshape(n, WORDINGS, LONGEST).astype(np.int16)


def make(folder, plain, full, seed):
    os.makedirs(folder, exist_ok=True)
    path = f"{folder}/pictures.npy"
    np.lib.format.open_memmap(path, "w+", np.uint8, (plain + full, 64, 64, 3)).flush()
    jobs = [(path, at, min(PIECE, (plain if at < plain else plain + full) - at), at < plain, seed)
            for at in [*range(0, plain, PIECE), *range(plain, plain + full, PIECE)]]
    with multiprocessing.Pool(2) as pool:
        parts = pool.map(_piece, jobs, chunksize=1)
    np.savez(f"{folder}/scenes.part.npz", **scenes.join([s for s, _ in parts]),
             tokens=np.concatenate([t for _, t in parts]))
    os.rename(f"{folder}/scenes.part.npz", f"{folder}/scenes.npz")


def load(folder):
    """Pictures, uint8 [n,64,64,3], mapped; scenes; tokens [n,WORDINGS,LONGEST]. Plain scenes come first."""
    s = dict(np.load(f"{folder}/scenes.npz"))
    return np.load(f"{folder}/pictures.npy", mmap_mode="r"), s, s.pop("tokens")


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("folder")
    p.add_argument("--plain", type=int, default=100000)
    p.add_argument("--full", type=int, default=60000)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    make(a.folder, a.plain, a.full, a.seed)
