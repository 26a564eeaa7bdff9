#!/usr/bin/env python3
"""Does the best of several seeds draw better frames? Held videos of the tiny world with one seed, with `render --seeds`, by the cosine
and by a judge, and the same measures for all. Prints a Markdown table for each gap and space.

    tools/tinyworld/seeds.py [FOLDER] [--minutes 2] [--train 40] [--held 10] [--gaps 8,16] [--seeds 8] [--inbetween PROGRAM]

Needs numpy, cffi, FFmpeg's program and build/. FOLDER (seeds-out) keeps everything; what is there is not made again. Footage,
spaces and measures are those of spaces.py; one pair of keyframes of each video, pictures, between which only the middle frame starts from
noise alone; in place of PSNR the cosine to the embedding that was asked for, of the space that leads.

`one seed` is the mean of all seeds, each by itself, which is what to expect of any; differences are to it, with intervals of 95 % by
drawing videos anew. `oracle` is the seed whose frames are nearest to the true frames' embeddings."""
import argparse
import json
import os
import shutil

import numpy as np

import spaces
import videos

MEASURES = {"cosine to the asked": 8, "cosine to the true frame": 2, "flicker": 6, "colour": 3, "shape": 4, "place": 5}


class SeedBench(spaces.Bench):
    def __init__(self, a):
        super().__init__(a)
        self.windows = {g: 1 for g in self.gaps}

    def judges(self):
        for name in self.a.spaces:
            self.once(self.at(f"{name}-judge.safetensors"), "train-judge", self.at(f"{name}-train"), "-a", self.at(name, "adapter.safetensors"), "-o",
                      self.at(f"{name}-judge.safetensors"))

    def words(self, name, gap):
        space, draw, _ = spaces.SPACES[name]
        return [*space, "-n", str(gap + 1), "--gap-seconds", f"{gap / videos.RATE:.6f}", "--adapter", self.at(name, "adapter.safetensors")], draw

    def draw(self):
        size = ["--size", f"{spaces.SIZE}x{spaces.SIZE}"]
        for gap in self.gaps:
            for i in range(self.a.held):
                video, where = self.at("held", f"{i:04d}.mp4"), self.at("drawn", str(gap), f"{i:04d}")
                keys = self.keys(video, gap)
                os.makedirs(where, exist_ok=True)
                self.once(f"{where}/truth", "render", *self.frames(video, gap), "-o", f"{where}/truth/", "-n", "2", "--adapter", "none", *size)
                for name in self.a.spaces:
                    way, draw = self.words(name, gap)
                    self.once(f"{where}/{name}.asked.safetensors", "render", *keys, "-o", f"{where}/{name}.asked.safetensors", *way)
                    for k in range(self.a.seeds):
                        self.once(f"{where}/{name}.{k}", "render", *keys, "-o", f"{where}/{name}.{k}/", *way, *draw, *size, "--seed", str(k))
                    for by, more in ("cosine", []), ("judge", ["--judge", self.at(f"{name}-judge.safetensors")]):
                        said = f"{where}/{name}.{by}.json"
                        if not os.path.exists(said):
                            out = self.run("render", *keys, "-o", f"{where}/{name}.{by}/", *way, *draw, *size, "--seeds", str(self.a.seeds), *more,
                                           "--json")
                            with open(said, "w") as f:
                                f.write(out)
                print(f"gap {gap}, video {i}: drawn", flush=True, file=spaces.sys.stderr)

    def measure(self):
        """{(gap, space, method): [videos, measures]}, and which seeds were taken."""
        got, taken = {}, {}
        for gap in self.gaps:
            inner = np.arange(1, gap)
            for i in range(self.a.held):
                where = self.at("drawn", str(gap), f"{i:04d}")
                with open(self.at("held", f"{i:04d}.json")) as f:
                    said = json.load(f)
                truth, true = spaces.load(f"{where}/truth", gap + 1), self.embed(f"{where}/truth")
                for name in self.a.spaces:
                    asked = spaces.rows(f"{where}/{name}.asked.safetensors")
                    by_seed = []
                    for k in range(self.a.seeds):
                        folder = f"{where}/{name}.{k}"
                        row = self.one(spaces.load(folder, gap + 1), self.embed(folder), truth, true, said, inner, gap)
                        by_seed.append(row + [agreement(self.embed(folder, name), asked)[inner].mean()])
                    by_seed = np.array(by_seed)
                    chosen = {"oracle": int(by_seed[:, 2].argmax())}
                    for by in "cosine", "judge":
                        with open(f"{where}/{name}.{by}.json") as f:
                            chosen[by] = json.load(f)["seed"]
                        if not np.array_equal(spaces.load(f"{where}/{name}.{by}", gap + 1), spaces.load(f"{where}/{name}.{chosen[by]}", gap + 1)):
                            raise SystemExit(f"{where}/{name}.{by}: is not the clip of seed {chosen[by]}")
                    got.setdefault((gap, name, "one seed"), []).append(by_seed.mean(0))
                    for by, k in chosen.items():
                        got.setdefault((gap, name, by), []).append(by_seed[k])
                        taken.setdefault((gap, name, by), []).append(k)
        return {k: np.array(v) for k, v in got.items()}, taken


def agreement(a, b):
    """Cosine of rows, token by token. [N]"""
    a, b = (v.reshape(len(v), -1, v.shape[-1]) for v in (a, b))
    return ((a * b).sum(2) / np.linalg.norm(a, axis=2) / np.linalg.norm(b, axis=2)).mean(1)


def table(got, gap, name, seeds):
    rng = np.random.default_rng(1)
    one = got[gap, name, "one seed"]
    drawn = rng.integers(0, len(one), (2000, len(one)))
    print(f"\n| gap {gap}, {name} | " + " | ".join(MEASURES) + " |\n|---|" + "---|" * len(MEASURES))
    titles = {"one seed": "one seed", "cosine": f"best of {seeds} by the cosine", "judge": f"best of {seeds} by the judge",
              "oracle": f"best of {seeds} by the true frames, an oracle"}
    for by, title in titles.items():
        cells = []
        for at in MEASURES.values():
            v = got[gap, name, by][:, at]
            gain = v - one[:, at]
            low, high = np.quantile(gain[drawn].mean(1), [0.025, 0.975])
            cells.append(f"{v.mean():.3f}" + ("" if by == "one seed" else f" ({gain.mean():+.3f}, {low:+.3f} to {high:+.3f})"))
        print(f"| {title} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("folder", nargs="?", default="seeds-out")
    p.add_argument("--minutes", type=float, default=2)
    p.add_argument("--train", type=int, default=40, metavar="VIDEOS")
    p.add_argument("--held", type=int, default=10, metavar="VIDEOS")
    p.add_argument("--gaps", default="8,16")
    p.add_argument("--seeds", type=int, default=8)
    p.add_argument("--spaces", default="pooled,hidden", type=lambda s: s.split(","))
    p.add_argument("--inbetween", default=os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../build/inbetween"))
    a = p.parse_args()
    if not shutil.which("ffmpeg"):
        raise SystemExit("seeds.py needs FFmpeg's program, which makes the videos")
    b = SeedBench(a)
    b.footage()
    b.train(a.spaces, unguided=False)
    b.judges()
    b.draw()
    got, taken = b.measure()
    for gap in b.gaps:
        for name in a.spaces:
            table(got, gap, name, a.seeds)
            print("\nSeeds taken: " + "; ".join(f"{by} {' '.join(map(str, taken[gap, name, by]))}" for by in ("cosine", "judge", "oracle")))
