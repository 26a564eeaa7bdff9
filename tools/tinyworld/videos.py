"""Videos of the tiny world, with a caption and the truth of every frame beside each.

    python videos.py FOLDER [--count 100] [--seed 1] [--plain] [--size 128] [--seconds 4]

FOLDER/NNNN.mp4 (24 frames a second, by FFmpeg) and FOLDER/NNNN.json: the caption, what moves how, and for each frame
place, radius and angle of each object in the picture (camera included), its colour, and the camera.
"""
import argparse
import json
import os
import subprocess

import numpy as np

import captions
import scenes

RATE = 24


def ease(t, kind):
    """0 to 1 as t goes from 0 to 1."""
    return {"even": t, "smooth": t * t * (3 - 2 * t), "start": t * t, "stop": 1 - (1 - t) ** 2}[kind]


def _bounce(x, low, high):
    """x, reflected at both walls."""
    span = np.maximum(high - low, 1e-3)
    u = np.mod(x - low, 2 * span)
    return low + np.minimum(u, 2 * span - u)


def _move(rng, s, k, t):
    """Changes object k over time t [n], in place; says how."""
    x, y, r = (float(s[f][0, k]) for f in "xyr")
    plain = bool(s["plain"][0])
    how = str(rng.choice(["even", "smooth", "start", "stop", "bounce", "circle", "rest"],
                         p=[0.15, 0.25, 0.1, 0.1, 0.2, 0.1, 0.1] if k else [0.15, 0.3, 0.1, 0.1, 0.25, 0.1, 0]))
    low, high = 0.85 * r, 1 - 0.85 * r
    if how == "bounce":
        angle, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1.8)
        s["x"][:, k] = _bounce(x + np.cos(angle) * speed * t, low, high)
        s["y"][:, k] = _bounce(y + np.sin(angle) * speed * t, low, high)
    elif how == "circle":
        radius, turns = rng.uniform(0.1, 0.25), rng.choice([-1, 1]) * rng.uniform(0.4, 1)
        phase = rng.uniform(0, 2 * np.pi)
        a = phase + 2 * np.pi * turns * t
        s["x"][:, k] = np.clip(x + radius * (np.cos(a) - np.cos(phase)), low, high)
        s["y"][:, k] = np.clip(y + radius * (np.sin(a) - np.sin(phase)), low, high)
    elif how != "rest":
        to = rng.uniform(low, high, 2)
        s["x"][:, k] = x + (to[0] - x) * ease(t, how)
        s["y"][:, k] = y + (to[1] - y) * ease(t, how)
    done = {"path": how}
    if rng.random() < 0.3:
        to = float(np.clip(r * rng.choice([0.6, 1.5]), 0.1, 0.3))
        s["r"][:, k] = r + (to - r) * ease(t, "smooth")
        done["growth"] = round(to / r, 2)
    if not plain and rng.random() < 0.4:
        turn = rng.uniform(-1, 1) * np.pi
        s["angle"][:, k] += turn * ease(t, "smooth")
        done["turn_degrees"] = round(float(np.degrees(turn)))
    if not plain and rng.random() < 0.2:
        to = scenes.COLOUR_VALUES[rng.integers(len(scenes.COLOURS))]
        if np.abs(to - s["ground_rgb"][0, 0]).max() > 0.3:
            s["rgb"][:, k] += (to - s["rgb"][0, k]) * ease(t, "smooth")[:, None]
            done["colour_change"] = True
    return done


def _film(rng, s, t):
    """Moves the camera, in place; says how."""
    done = {}
    if rng.random() < 0.5:
        to = rng.uniform(-0.2, 0.2, 2)
        s["camera"][:, 0] += to[0] * ease(t, "smooth")
        s["camera"][:, 1] += to[1] * ease(t, "smooth")
        done["pan"] = to.round(3).tolist()
    if rng.random() < 0.5:
        to = float(rng.choice([0.75, 1.35]))
        s["camera"][:, 2] *= to ** ease(t, "smooth")
        done["zoom"] = to
    return done


def sample(rng, frames, plain):
    """A scene for each frame, and what moves how. Plain objects stay upright, apart and of one colour."""
    t = np.linspace(0, 1, frames, dtype=np.float32)
    while True:
        s = scenes.take(scenes.sample(rng, 1, plain), np.zeros(frames, int))
        moves = [_move(rng, s, k, t) for k in range(int(s["count"][0]))]
        if not plain or len(moves) < 2 or not scenes.touching(s, 1).any():
            return s, {"objects": moves, "camera": {} if plain or rng.random() < 0.5 else _film(rng, s, t)}


def truth(s, text, how):
    """What is written beside a video."""
    cx, cy, zoom = (s["camera"][:, i] for i in range(3))
    objects = []
    for k in range(int(s["count"][0])):
        x, y = (s["x"][:, k] - cx) * zoom + 0.5, (s["y"][:, k] - cy) * zoom + 0.5
        objects.append({"shape": scenes.SHAPES[s["shape"][0, k]], "colour": scenes.COLOUR_NAMES[s["colour"][0, k]],
                        "texture": scenes.TEXTURES[s["texture"][0, k]],
                        **{n: np.round(v, 4).tolist() for n, v in (
                            ("x", x), ("y", y), ("r", s["r"][:, k] * zoom), ("angle", s["angle"][:, k]),
                            ("rgb", s["rgb"][:, k]))}})
    return {"caption": text, "plain": bool(s["plain"][0]), "rate": RATE, "background": captions.ground(s, 0),
            "how": how, "camera": np.round(s["camera"], 4).tolist(), "objects": objects}


def write(path, pictures):
    n, height, width, _ = pictures.shape
    subprocess.run(["ffmpeg", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s",
                    f"{width}x{height}", "-r", str(RATE), "-i", "-", "-c:v", "libx264", "-crf", "12", "-pix_fmt",
                    "yuv420p", "-threads", "1", path], input=pictures.tobytes(), check=True)


def make(folder, i, seed, plain, size, seconds):
    """Video i of a seed, and what is written beside it."""
    rng = np.random.default_rng([33, seed, i])
    s, how = sample(rng, round(seconds * RATE), plain)
    write(f"{folder}/{i:04d}.mp4", scenes.draw(s, size))
    with open(f"{folder}/{i:04d}.json", "w") as f:
        json.dump(truth(s, captions.caption(rng, s, 0, whole=True), how), f)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("folder")
    p.add_argument("--count", type=int, default=100)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--size", type=int, default=128)
    p.add_argument("--seconds", type=float, default=4)
    p.add_argument("--plain", action="store_true", help="the plain subset alone; else every other video is plain")
    a = p.parse_args()
    os.makedirs(a.folder, exist_ok=True)
    for i in range(a.count):
        make(a.folder, i, a.seed, a.plain or i % 2 == 0, a.size, a.seconds)
