#!/usr/bin/env python3
"""Between two prompts that put one object at opposite sides, does it pass the middle? Clips of `render --renderer` with prompts as
keyframes, drawn first and pictures from then on, and with --direct, where embeddings alone lead. Prints a Markdown table.

    tools/tinyworld/prompts.py [FOLDER] [--n 24] [--seed 1] [--inbetween PROGRAM]

Needs numpy, FFmpeg's program and build/inbetween. FOLDER (prompts-out) keeps the pictures. Read from pixels (detector.py), of the objects of
the colour that was asked for: at both ends, the object is where its prompt says, to a fifth of the picture; at the middle frame, exactly
one is there and in the middle, to a fifth; *apart*: at the middle frame two are there, one at each side, as in a cross-fade."""
import argparse
import os
import subprocess
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import detector  # noqa: E402
from spaces import load  # noqa: E402

FRAMES = 9
SIDES = {"left": (0.22, 0.5), "right": (0.78, 0.5), "top": (0.5, 0.22), "bottom": (0.5, 0.78)}
WAYS = [("left", "right"), ("right", "left"), ("top", "bottom"), ("bottom", "top")]
COLOURS, SHAPES, GROUNDS = ("red", "green", "blue", "yellow", "purple"), ("circle", "square", "triangle", "star"), ("white", "black", "gray")
METHODS = {"drawn first, pictures from then on": [], "drawn first, the middle from noise alone": ["--strength", "1"], "--direct": ["--direct"]}


def scene(rng):
    ground = GROUNDS[rng.integers(len(GROUNDS))]
    a, b = WAYS[rng.integers(len(WAYS))]
    colour, shape = COLOURS[rng.integers(len(COLOURS))], SHAPES[rng.integers(len(SHAPES))]
    words = "text:a large {} {} at the {} on a {} background"
    return colour, a, b, [words.format(colour, shape, side, ground) for side in (a, b)]


def places(picture, colour):
    return [(f["x"], f["y"]) for f in detector.read(picture.astype(np.uint8)) if f["colour"] == colour]


def near(found, x, y):
    return any(np.hypot(a - x, b - y) <= 0.2 for a, b in found)


def judge(x, colour, a, b):
    first, middle, last = (places(x[k], colour) for k in (0, FRAMES // 2, FRAMES - 1))
    ends = near(first, *SIDES[a]) and near(last, *SIDES[b])
    return ends, len(middle) == 1 and near(middle, 0.5, 0.5), near(middle, *SIDES[a]) and near(middle, *SIDES[b])


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("folder", nargs="?", default="prompts-out")
    p.add_argument("--n", type=int, default=24)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--inbetween", default=os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../build/inbetween"))
    a = p.parse_args()
    print("| prompts | ends right | of those: one, in the middle | of those: apart |\n|---|---|---|---|")
    for method, words in METHODS.items():
        rng, rows = np.random.default_rng([71, a.seed]), []
        for i in range(a.n):
            colour, start, end, prompts = scene(rng)
            to = os.path.join(a.folder, method.replace(",", "").replace(" ", "-").strip("-"), f"{i:03d}")
            if not os.path.exists(to):
                made = subprocess.run([a.inbetween, "render", *prompts, "-o", to + "/", "-n", str(FRAMES), "--gap-seconds", "0.5", "--space",
                                       "clip:tinyworld", "--renderer", "tinyworld", "--steps", "12", "--guidance", "2", "--diffuse-every", "1",
                                       "-q", *words], capture_output=True, text=True)
                if made.returncode:
                    raise SystemExit(made.stderr)
            rows.append(judge(load(to, FRAMES), colour, start, end))
        rows = np.array(rows)
        right = rows[rows[:, 0]]
        shares = [f"{right[:, k].mean():.0%}" if len(right) else "-" for k in (1, 2)]
        print(f"| {method} | {rows[:, 0].mean():.0%} | {shares[0]} | {shares[1]} |", flush=True)
