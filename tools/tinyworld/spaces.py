#!/usr/bin/env python3
"""Which space do in-betweens work best in? Adapters trained for equal time in several spaces of the tiny world, their frames as
pictures, and the same measures for all, on videos that were left out. Prints a Markdown table.

    tools/tinyworld/spaces.py [FOLDER] [--minutes 3] [--train 80] [--held 20] [--gaps 8,16] [--inbetween PROGRAM]

Needs numpy, cffi, FFmpeg's program and build/. FOLDER (spaces-out) keeps everything; what is there is not made again.

Spaces: `patch`, pixels; `vae`, the latents of the diffusion model's autoencoder; `hidden` and `pooled`, the CLIP's tokens before
the last block and its embedding, drawn by the diffusion model through IP-Adapters from noise alone (their ways are written as
latents first, so that no picture helps). A space's *ceiling* is
the true frame's own latent, drawn or decoded in the same way; of pixels the frame itself. "Share" is (method - slerp) / (ceiling - slerp): what the
way between keyframes gains, whatever the decoder is worth; a dash where slerp and ceiling are alike.

Measures, of the frames between keyframes: PSNR of RGB; MS-SSIM of luma on three scales (the usual five do not fit 64 px);
cosine of the frame's embedding with the true frame's; objects whose colour and shape are right and whose place is right to
a fifth of the picture, read from pixels (detector.py); flicker, the second difference of pictures in time over the true
frames'; jerk, the third difference of embeddings over the true frames'. Intervals: 95 %, by drawing videos anew."""
import argparse
import json
import os
import shutil
import subprocess
import sys

import numpy as np

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../../python")]
import detector  # noqa: E402
import videos  # noqa: E402
from inbetween import LatentFile  # noqa: E402

SIZE, FIRST = 64, 6
MEASURES = ["psnr", "ms_ssim", "cosine", "colour", "shape", "place", "flicker", "jerk"]
SHARED = MEASURES[:6]  # with a share of the ceiling
DRAW = ["--renderer", "tinyworld", "--steps", "12", "--guidance", "2", "--strength", "1", "--diffuse-every", "1"]
SPACES = {  # name: space and tokens, how to make pictures, whether there are guides
    "patch": (["--space", "patch"], [], False), "vae": (["--space", "vae:tinyworld"], [], False),
    "hidden": (["--space", "clip:tinyworld", "--tokens", "penultimate"], DRAW, True),
    "pooled": (["--space", "clip:tinyworld"], DRAW, True)}


class Bench:
    def __init__(self, a):
        self.a, self.gaps = a, [int(g) for g in a.gaps.split(",")]
        self.windows = {g: min(3, (videos.RATE * 4 - 1 - FIRST) // g) for g in self.gaps}

    def at(self, *parts):
        return os.path.join(self.a.folder, *parts)

    def run(self, *words):
        made = subprocess.run([self.a.inbetween, *words, "-q"], capture_output=True, text=True)
        if made.returncode:
            raise SystemExit(f"{' '.join(words)}\n{made.stderr}")
        return made.stdout

    def once(self, result, *words):
        if not os.path.exists(result):
            self.run(*words)

    def footage(self):
        for name, count, seed in ("train", self.a.train, 21), ("held", self.a.held, 22):
            os.makedirs(self.at(name), exist_ok=True)
            for i in range(count):
                if not os.path.exists(self.at(name, f"{i:04d}.json")):
                    videos.make(self.at(name), i, seed, True, 128, 4)

    def train(self, names=tuple(SPACES), unguided=True):
        for name in names:
            space, draw, guides = SPACES[name]
            how = space + ([] if name == "pooled" or name == "hidden" else ["--size", f"{SIZE}x{SIZE}"])
            how += ["--guide-gaps", self.a.gaps] if guides else []
            for part in "train", "held":
                mark = self.at(f"{name}-{part}.done")
                if not os.path.exists(mark):
                    self.run("encode", self.at(part), "-o", self.at(f"{name}-{part}"), *how)
                    open(mark, "w").close()
            for run, more in [(name, [])] + ([(name + "-unguided", ["--guide", "none"])] if guides and unguided else []):
                self.once(self.at(run, "adapter.safetensors"), "train", self.at(f"{name}-train"), "-o", self.at(run),
                          "--minutes", str(self.a.minutes), *more)
                print(f"{run}: trained", file=sys.stderr, flush=True)

    def methods(self):
        """(space, method): words for render."""
        out = {}
        for name, (space, _, guides) in SPACES.items():
            out[name, "slerp"] = space + ["--adapter", "none"]
            if guides:
                out[name, "adapter, no guide"] = space + ["--adapter", self.at(name + "-unguided", "adapter.safetensors"), "--guide", "none"]
            out[name, "adapter"] = space + ["--adapter", self.at(name, "adapter.safetensors")]
        out["patch", "default adapter"] = ["--space", "patch", "--adapter", "default"]
        return out

    def keys(self, path, gap):
        n = self.windows[gap]
        return [f"{path}@{(FIRST + k * gap) / videos.RATE + 0.001:.4f}s" for k in range(n + 1)]

    def frames(self, path, gap):
        return [f"{path}@{(FIRST + k) / videos.RATE + 0.001:.4f}s" for k in range(self.windows[gap] * gap + 1)]

    def draw(self):
        size = ["--size", f"{SIZE}x{SIZE}"]
        for gap in self.gaps:
            for i in range(self.a.held):
                video = self.at("held", f"{i:04d}.mp4")
                where = self.at("drawn", str(gap), f"{i:04d}")
                os.makedirs(where, exist_ok=True)
                self.once(f"{where}/truth", "render", *self.frames(video, gap), "-o", f"{where}/truth/", "-n", "2", "--adapter", "none", *size)
                shutil.copytree(f"{where}/truth", f"{where}/patch.ceiling", dirs_exist_ok=True)
                self.decode(where, self.frames(video, gap), size)
                for name in "hidden", "pooled":
                    self.draw_latents(name, self.frames(self.at(f"{name}-held", f"{i:04d}.h5"), gap), f"{where}/{name}.ceiling")
                for (name, method), words in self.methods().items():
                    to = f"{where}/{name}.{method}".replace(", ", "-").replace(" ", "-")
                    way = [*self.keys(video, gap), "-n", str(gap + 1), "--gap-seconds", f"{gap / videos.RATE:.6f}", *words]
                    if SPACES[name][1]:
                        self.draw_way(name, way, to)
                    else:
                        self.once(to, "render", *way, "-o", to + "/", *size)
            print(f"gap {gap}: drawn", file=sys.stderr, flush=True)

    def draw_way(self, name, way, to):
        """Embeddings on the way, as latents of a video, and these drawn."""
        made, latents = to + ".way.safetensors", to + ".way.h5"
        self.once(made, "render", *way, "-o", made)
        z = rows(made)
        if not os.path.exists(latents):
            LatentFile.write(latents, z, space=contents(made)[0]["__metadata__"]["inbetween.space"], fps=videos.RATE)
        self.draw_latents(name, [f"{latents}@{k / videos.RATE + 0.001:.4f}s" for k in range(len(z))], to)

    def draw_latents(self, name, frames, to):
        space, draw, _ = SPACES[name]
        self.once(to, "render", *frames, "-o", to + "/", "-n", "2", *space, *draw, "--size", f"{SIZE}x{SIZE}", "--adapter", "none")

    def decode(self, where, frames, size):
        """Pictures through the autoencoder: of every frame, the in-between of it and itself."""
        if os.path.exists(f"{where}/vae.ceiling"):
            return
        twice = f"{where}/vae.twice"
        self.once(twice, "render", *(f for frame in frames for f in (frame, frame)), "-o", twice + "/", "-n", "3", *SPACES["vae"][0], *size,
                  "--adapter", "none")
        os.makedirs(f"{where}/vae.ceiling.part")
        for k in range(len(frames)):
            os.rename(f"{twice}/{4 * k + 2:04d}.png", f"{where}/vae.ceiling.part/{k + 1:04d}.png")
        shutil.rmtree(twice)
        os.rename(f"{where}/vae.ceiling.part", f"{where}/vae.ceiling")

    def embed(self, folder, space="pooled"):
        names = sorted(f for f in os.listdir(folder) if f.endswith(".png"))
        out = folder + ("" if space == "pooled" else "-" + space) + ".safetensors"
        self.once(out, "render", *(os.path.join(folder, n) for n in names), "-o", out, "-n", "2", *SPACES[space][0],
                  "--adapter", "none", "--guide", "none")
        return rows(out)

    def measure(self):
        got = {}
        for gap in self.gaps:
            n = self.windows[gap] * gap + 1
            inner = np.array([k for k in range(n) if k % gap])
            for i in range(self.a.held):
                where = self.at("drawn", str(gap), f"{i:04d}")
                said = json.load(open(self.at("held", f"{i:04d}.json")))
                truth, true = load(f"{where}/truth", n), self.embed(f"{where}/truth")
                for folder in sorted(os.listdir(where)):
                    if folder == "truth" or not os.path.isdir(f"{where}/{folder}"):
                        continue
                    x, z = load(f"{where}/{folder}", n), self.embed(f"{where}/{folder}")
                    got.setdefault((gap, folder), []).append(self.one(x, z, truth, true, said, inner, gap))
        return {k: np.array(v) for k, v in got.items()}

    def one(self, x, z, truth, true, said, inner, gap):
        mse = np.square(x[inner] / 255 - truth[inner] / 255).mean((1, 2, 3))
        cosine = (z * true).sum(1) / np.linalg.norm(z, axis=1) / np.linalg.norm(true, axis=1)
        rows = []
        for k in inner:
            found = detector.read(x[k].astype(np.uint8))
            for o in said["objects"]:
                far = [np.hypot(f["x"] - o["x"][FIRST + k], f["y"] - o["y"][FIRST + k]) for f in found]
                near = found[int(np.argmin(far))] if found else {"colour": "", "shape": ""}
                rows.append((near["colour"] == o["colour"], near["shape"] == o["shape"], bool(found) and min(far) <= 0.2))
        rough = lambda v, d: np.sqrt(np.square(np.diff(v, d, axis=0)).mean())  # noqa: E731
        return [np.mean(10 * np.log10(1 / np.maximum(mse, 1e-6))),
                np.mean([ms_ssim(luma(a), luma(b)) for a, b in zip(x[inner], truth[inner])]), cosine[inner].mean(),
                *np.mean(rows, 0), rough(luma(x), 2) / rough(luma(truth), 2), rough(z, 3) / rough(true, 3)]


def contents(path):
    """Header and data of a safetensors file."""
    with open(path, "rb") as f:
        return json.loads(f.read(int.from_bytes(f.read(8), "little"))), f.read()


def rows(path):
    """Embeddings of a file: [N,D], or of hidden tokens [N,T,D]."""
    head, data = contents(path)
    at = head.get("image_embeds") or head["hidden_states"]
    kind = {"F16": "<f2", "F32": "<f4"}[at["dtype"]]
    return np.frombuffer(data[slice(*at["data_offsets"])], kind).astype(float).reshape(at["shape"])


def luma(x):
    return x @ np.array([0.299, 0.587, 0.114])


def _smooth(x):
    k = np.exp(-np.square(np.arange(-5, 6)) / 4.5)
    k /= k.sum()
    for axis in 0, 1:
        x = np.apply_along_axis(np.convolve, axis, x, k, "valid")
    return x


def ms_ssim(a, b):
    """Wang, Simoncelli and Bovik 2003, with three scales and their first three weights, made to sum to 1."""
    out = 1.0
    for scale, weight in enumerate(np.array([0.0448, 0.2856, 0.3001]) / 0.6305):
        ma, mb = _smooth(a), _smooth(b)
        va, vb, ab = _smooth(a * a) - ma * ma, _smooth(b * b) - mb * mb, _smooth(a * b) - ma * mb
        c = (2 * ab + 58.5225) / (va + vb + 58.5225)
        if scale == 2:
            c = c * (2 * ma * mb + 6.5025) / (ma * ma + mb * mb + 6.5025)
        out *= max(c.mean(), 0) ** weight
        a, b = (v.reshape(len(v) // 2, 2, len(v) // 2, 2).mean((1, 3)) for v in (a, b))
    return out


def load(folder, n):
    """[n,64,64,3] of 0..255."""
    raw = subprocess.run(["ffmpeg", "-v", "error", "-i", f"{folder}/%04d.png", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
                         capture_output=True, check=True).stdout
    x = np.frombuffer(raw, np.uint8).reshape(-1, SIZE, SIZE, 3)
    if len(x) != n:
        raise SystemExit(f"{folder}: {len(x)} pictures, not {n}")
    return x.astype(float)


def table(got, gap):
    rng = np.random.default_rng(1)
    print(f"\nGap {gap}:\n\n| space | method | " + " | ".join(MEASURES) + " | share of PSNR, MS-SSIM, cosine, place | cosine over slerp, 95 % |")
    print("|---|---|" + "---|" * (len(MEASURES) + 2))
    pick = [MEASURES.index(m) for m in ("psnr", "ms_ssim", "cosine", "place")]
    for space in SPACES:
        own = {f.split(".", 1)[1]: v for (g, f), v in got.items() if g == gap and f.split(".", 1)[0] == space}
        slerp, ceiling = own["slerp"].mean(0), own["ceiling"].mean(0)
        for method in sorted(own, key=["slerp", "adapter-no-guide", "adapter", "default-adapter", "ceiling"].index):
            v = own[method]
            gain = v[:, 2] - own["slerp"][:, 2]
            drawn = gain[rng.integers(0, len(gain), (2000, len(gain)))].mean(1)
            share = "" if method in ("slerp", "ceiling") else ", ".join(
                f"{(v.mean(0)[m] - slerp[m]) / (ceiling[m] - slerp[m]):+.2f}" if abs(ceiling[m] - slerp[m]) > 0.005 else "-" for m in pick)
            interval = "" if method in ("slerp", "ceiling") else f"{gain.mean():+.3f} ({np.quantile(drawn, 0.025):+.3f} to {np.quantile(drawn, 0.975):+.3f})"
            print(f"| {space} | {method.replace('-', ' ')} | " + " | ".join(f"{m:.3f}" if k else f"{m:.2f}" for k, m in enumerate(v.mean(0)))
                  + f" | {share} | {interval} |")


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("folder", nargs="?", default="spaces-out")
    p.add_argument("--minutes", type=float, default=3)
    p.add_argument("--train", type=int, default=80, metavar="VIDEOS")
    p.add_argument("--held", type=int, default=20, metavar="VIDEOS")
    p.add_argument("--gaps", default="8,16")
    p.add_argument("--inbetween", default=os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../build/inbetween"))
    a = p.parse_args()
    if not shutil.which("ffmpeg"):
        raise SystemExit("spaces.py needs FFmpeg's program, which makes the videos")
    b = Bench(a)
    b.footage()
    b.train()
    b.draw()
    got = b.measure()
    for gap in b.gaps:
        table(got, gap)
