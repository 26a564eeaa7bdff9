#!/usr/bin/env python3
"""Ours beside PyTorch's official CPU build, all in one run on this machine: training, CLIP's image tower, Stable Diffusion's networks.

    tools/yardsticks.py [--cache DIR] [--threads N] [--rounds 2] [--seconds 8] [--clip ViT-L/14] [--sizes 256,512] [--build build]

Prints a Markdown table. yardstick.py, yardstick_clip.py and yardstick_diffusion.py say what is compared; of ROUNDS in turn, the fastest
counts (of the networks' evaluations the faster of two). PyTorch computes in float32 as we do, and, where the processor multiplies bfloat16
(AVX-512 or AMX), also in bfloat16; --bfloat16 does so anywhere. The first run makes a virtual environment and models of 5 GB in all in DIR
(default: that of yardstick_diffusion.py). A quiet machine needs 4 minutes. Needs python3 with venv and pip, and the benchmarks in build/.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys

import yardstick_diffusion

TOOLS = pathlib.Path(__file__).resolve().parent
FLAGS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX-512 bfloat16", "amx_bf16": "AMX bfloat16"}


def run(a, *command):
    """Its standard output."""
    environment = os.environ | {"OMP_NUM_THREADS": str(a.threads)}
    return subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout


def figure(pattern, text):
    return float(re.search(pattern, text)[1])


def training(a, python, kinds):
    """Samples a second of a training step that is given its motion estimate: of ours and of each kind of PyTorch's."""
    rates = []
    for _ in range(a.rounds):
        ours = run(a, a.build / "bench_step", "default", a.threads, a.seconds)
        row = [figure(r"when that is given: ([\d.]+)", ours)]
        for kind in kinds:
            theirs = run(a, python, TOOLS / "yardstick.py", "--threads", a.threads, "--seconds", a.seconds, "--dtype", kind)
            row.append(figure(r"([\d.]+) samples/s", theirs))
        rates.append(row)
    return [max(column) for column in zip(*rates)]


def clip(a, python, kinds):
    """Pictures a second."""
    weights = a.cache / f"clip-{a.clip.replace('/', '-')}.safetensors"
    if not weights.exists():
        run(a, a.build / "ib_clip_weights", weights, a.clip, "hf", "f16", "both")
    out = run(a, python, TOOLS / "yardstick_clip.py", a.build / "bench_clip", weights, a.rounds, *kinds)
    clock = next(line for line in out.splitlines() if "by the clock" in line)
    return [figure(rf"{who} ([\d.]+)", clock) for who in ["ours", *kinds]]


def diffusion(a, python, kinds):
    """Seconds: {what: [ours, one for each kind]}."""
    folder = a.cache / "model"
    if not (folder / "model_index.json").exists():
        subprocess.run([python, TOOLS / "yardstick_diffusion.py", "--inside", "model", "--cache", a.cache], check=True)
    got = [yardstick_diffusion.ours(a, folder)] + [yardstick_diffusion.ask(python, kind, a) for kind in kinds]
    return {what: [row[what] for row in got] for what in got[0] if all(what in row for row in got)}


def row_of(what, unit, values, decimals, kinds):
    """values: ours and one for each kind. Less is better of seconds."""
    ours, cells = values[0], [what, unit] + [f"{value:.{decimals}f}" for value in values]
    cells += ["-"] * (3 - len(values))
    for i in range(2):
        faster = (values[i + 1] / ours if unit == "seconds" else ours / values[i + 1]) if i < len(kinds) else None
        cells.append("-" if faster is None else f"{faster:.2f}" if faster >= 1 else f"**{faster:.2f}**")
    return "| " + " | ".join(cells) + " |"


def machine(a, python, flags, bfloat16):
    model = re.search("^model name\\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    commit = subprocess.run(["git", "-C", TOOLS, "describe", "--always", "--dirty"], stdout=subprocess.PIPE, text=True).stdout.strip()
    torch = run(a, python, "-c", "import torch; print(torch.__version__)").strip()
    has = ", ".join(word for flag, word in FLAGS.items() if flag in flags)
    text = f"{model[1] if model else 'processor'} ({has or 'SSE2'}), {a.threads} threads; PyTorch {torch}; ours at {commit or 'no commit'}."
    if not bfloat16:
        text += " This processor does not multiply bfloat16, so PyTorch was not measured in it."
    return text + " In bold: PyTorch is faster."


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--cache", type=pathlib.Path, default=pathlib.Path.home() / ".cache/inbetween-yardstick-diffusion")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--seconds", type=int, default=8, help="of a measurement of training")
    p.add_argument("--clip", default="ViT-L/14", help="a model that ib_clip_weights knows")
    p.add_argument("--sizes", default="256,512", help="px of the pictures of the U-Net, of 256, 384, 512")
    p.add_argument("--build", type=pathlib.Path, default=TOOLS.parent / "build")
    p.add_argument("--bfloat16", action="store_true", help="PyTorch in bfloat16 too, whatever the processor")
    a = p.parse_args()
    flags = set(pathlib.Path("/proc/cpuinfo").read_text().split())
    bfloat16 = a.bfloat16 or bool(flags & {"avx512_bf16", "amx_bf16"})
    kinds = ["float32", "bfloat16"] if bfloat16 else ["float32"]
    python = yardstick_diffusion.prepare(a.cache, sdcpp=False)
    rows = [row_of("training step, default preset, 16 samples", "samples a second", training(a, python, kinds), 1, kinds)]
    rows += [row_of(f"CLIP {a.clip}, image tower, 8 pictures", "pictures a second", clip(a, python, kinds), 3, kinds)]
    names = {"vae 512": "its VAE's decoder, 512 px", "taesd 512": "TAESD's decoder, 512 px"}
    for what, values in diffusion(a, python, kinds).items():
        rows.append(row_of(names.get(what, f"Stable Diffusion 1.5's U-Net, {what} px"), "seconds", values, 2, kinds))
    print("| | | ours | PyTorch, float32 | PyTorch, bfloat16 | ours is so many times as fast as float32 | as bfloat16 |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    print(f"\n{machine(a, python, flags, bfloat16)}")


if __name__ == "__main__":
    sys.exit(main())
