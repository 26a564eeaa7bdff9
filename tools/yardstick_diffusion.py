#!/usr/bin/env python3
"""An evaluation of Stable Diffusion 1.5's U-Net: ours beside PyTorch with diffusers and stable-diffusion.cpp, on the same machine.

    tools/yardstick_diffusion.py [--cache DIR] [--threads N] [--sizes 256,512] [--build build]

All have the same random weights (half, as published models are; computed in float32), one picture a time, one evaluation a step, no guidance.
The best of two is printed, and how many times as fast as the better of the others we are. bfloat16 in PyTorch is a row of its own, where the
processor has it. On its
first run it makes a virtual environment, builds stable-diffusion-cpp-python for this processor and writes a model, 8 GB in all in DIR
(default: ~/.cache/inbetween-yardstick-diffusion). Needs python3 with venv and pip, cmake, a C++ compiler, and build/bench_diffusion.
"""
import argparse
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import time

TORCH, OTHERS = "torch==2.13.0", ["diffusers==0.42.1", "transformers==5.24.0", "accelerate==1.15.0", "safetensors", "numpy"]
SDCPP = "stable-diffusion-cpp-python==0.4.7"


def prepare(cache, sdcpp=True):
    """A Python that has all, in the cache; stable-diffusion.cpp too or not."""
    python, ready = cache / "venv/bin/python", cache / "ready"
    want = [TORCH] + OTHERS + ([SDCPP] if sdcpp else [])
    if not ready.exists() or not set(want) <= set(ready.read_text().split()):
        print(f"{cache}: making a virtual environment with {' '.join(want)}", file=sys.stderr)
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", cache / "venv"], check=True)
        pip = [python, "-m", "pip", "--quiet", "install"]
        subprocess.run(pip + [TORCH] + OTHERS, check=True)
        if sdcpp:
            subprocess.run(pip + ["--no-binary", "stable-diffusion-cpp-python", SDCPP], check=True)
        ready.write_text(" ".join(want))
    return python


def make_model(folder):
    """Stable Diffusion 1.5's networks with random weights, as diffusers saves them."""
    import torch
    from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    torch.set_default_dtype(torch.float16)
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    vae = AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, sample_size=512,
                        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
    text = CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12))
    parts = {"unet": unet, "vae": vae, "text_encoder": text, "taesd": AutoencoderTiny(), "scheduler": DDIMScheduler(clip_sample=False)}
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"], '
                                             '"vae": ["diffusers", "AutoencoderKL"]}')
    make_single(folder, folder.with_suffix(".safetensors"))


def make_single(folder, path):
    """The model's tensors under the original names in one file, which is what stable-diffusion.cpp reads."""
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/fixtures/diffusion"))
    import random_weights

    made = {}
    for part, name in (("unet", "diffusion_pytorch_model"), ("vae", "diffusion_pytorch_model"), ("text_encoder", "model")):
        data = (folder / part / f"{name}.safetensors").read_bytes()
        n = struct.unpack("<Q", data[:8])[0]
        head = json.loads(data[8 : 8 + n])
        head.pop("__metadata__", None)
        for tensor, t in head.items():
            stem = "text_model." if part == "text_encoder" and not tensor.startswith("text_model.") else ""
            a, b = t["data_offsets"]
            made[f"{part}/{stem}{tensor}"] = tuple(t["shape"]), data[8 + n + a : 8 + n + b]
    random_weights.write(path, random_weights.single(made))


def time_torch(folder, sizes, threads, name):
    """Seconds of an evaluation by diffusers in torch's own kernels: {px: s}, and of the decoders."""
    import torch
    from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel

    torch.set_num_threads(threads)
    kind = getattr(torch, name)
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=kind).eval()
    for px in sizes:
        x, c = torch.randn(1, 4, px // 8, px // 8, dtype=kind), torch.randn(1, 77, 768, dtype=kind)
        report(name, px, best(lambda: unet(x, 500, c)))
    del unet
    for part, load in (("vae", AutoencoderKL), ("taesd", AutoencoderTiny)):
        v = load.from_pretrained(folder / part, torch_dtype=kind).eval()
        z = torch.randn(1, 4, 64, 64, dtype=kind)
        report(name, f"{part} 512", best(lambda: v.decode(z)))


def best(f):
    import torch

    times = []
    with torch.inference_mode():
        for _ in range(2):
            begun = time.perf_counter()
            f()
            times.append(time.perf_counter() - begun)
    return min(times)


def report(who, what, seconds):
    print(f"{who}\t{what}\t{seconds:.3f}", flush=True)


def time_sdcpp(folder, sizes, threads, _):
    from stable_diffusion_cpp import StableDiffusion

    sd = StableDiffusion(model_path=str(folder.with_suffix(".safetensors")), wtype="f32", n_threads=threads, verbose=False)
    for px in sizes:
        seconds = []
        sd.generate_image(prompt="", width=px, height=px, cfg_scale=1.0, sample_steps=3, sample_method="euler",
                          progress_callback=lambda step, steps, s: seconds.append(s))
        report("sd.cpp", px, min(s for s in seconds if s > 0))


def ask(python, what, a):
    """One of the measurements above in a process of its own."""
    run = subprocess.run([python, __file__, "--inside", what, "--cache", a.cache, "--threads", str(a.threads), "--sizes", a.sizes],
                         stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": str(a.threads)})
    rows = [line.split("\t") for line in run.stdout.splitlines() if line.count("\t") == 2]
    return {what_: float(s) for _, what_, s in rows}


def ours(a, folder):
    run = subprocess.run([a.build / "bench_diffusion", str(a.threads), "1", folder], stdout=subprocess.PIPE, text=True, check=True)
    print(run.stdout, end="")
    out = {}
    for px, s in re.findall(r"^(\d+) px, 1 frame: ([\d.]+) s", run.stdout, re.M):
        out[px] = min(float(s), out.get(px, 1e9))
    for kind, name in (("AutoencoderKL", "vae 512"), ("TAESD", "taesd 512")):
        found = re.search(rf"^{kind}, 512 px decoded: ([\d.]+) s", run.stdout, re.M)
        if found:
            out[name] = float(found[1])
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--cache", type=pathlib.Path, default=pathlib.Path.home() / ".cache/inbetween-yardstick-diffusion")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--sizes", default="256,512")
    p.add_argument("--build", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent / "build")
    p.add_argument("--inside", help=argparse.SUPPRESS)
    a = p.parse_args()
    folder, sizes = a.cache / "model", [int(x) for x in a.sizes.split(",")]
    if a.inside == "model":
        return make_model(folder)
    if a.inside:
        return (time_sdcpp if a.inside == "sd.cpp" else time_torch)(folder, sizes, a.threads, a.inside)
    python = prepare(a.cache)
    if not (folder / "model_index.json").exists():
        subprocess.run([python, __file__, "--inside", "model", "--cache", a.cache], check=True)
    got = {"inbetween": ours(a, folder)}
    has_bfloat16 = re.search("avx512_bf16|amx_bf16|bf16", pathlib.Path("/proc/cpuinfo").read_text())
    for what in ("float32", "sd.cpp") + (("bfloat16",) if has_bfloat16 else ()):
        got[what] = ask(python, what, a)
    columns = [str(px) for px in sizes] + ["vae 512", "taesd 512"]
    print(f"\nseconds, {a.threads} threads\n{'':12}" + "".join(f"{c:>12}" for c in columns))
    for who, row in got.items():
        print(f"{who:12}" + "".join(f"{row[c]:12.2f}" if c in row else f"{'-':>12}" for c in columns))
    rivals = {c: [got[w][c] for w in ("float32", "sd.cpp") if c in got[w]] for c in columns}
    print(f"{'as fast':12}" + "".join(f"{min(rivals[c]) / got['inbetween'][c]:11.2f}x" if rivals[c] and c in got["inbetween"]
                                      else f"{'-':>12}" for c in columns))


if __name__ == "__main__":
    sys.exit(main())
