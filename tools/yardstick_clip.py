#!/usr/bin/env python3
"""How fast PyTorch runs the image tower of a CLIP model on this machine, in turn with bench_clip.

    OMP_NUM_THREADS=2 tools/yardstick_clip.py build/bench_clip WEIGHTS.safetensors [ROUNDS [float32] [bfloat16]]

WEIGHTS: Hugging Face naming, as tools/clip_weights.c writes it. Both run on as many threads, batches of 8, and the best round counts. Ours
is in float32, PyTorch in what is named (by default float32). Needs PyTorch 2 and numpy.
"""
import json
import os
import re
import struct
import subprocess
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F


def load(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        start = f.tell()
    raw = np.memmap(path, np.uint8, "r", start)
    kinds = {"F32": np.float32, "F16": np.float16}
    out = {}
    for name, t in header.items():
        if name.startswith("vision_model.") or name == "visual_projection.weight":
            a, b = t["data_offsets"]
            out[name] = torch.from_numpy(np.frombuffer(raw[a:b].tobytes(), kinds[t["dtype"]]).astype(np.float32).reshape(t["shape"]))
    return out


class Tower:
    def __init__(self, w, dtype):
        w = {name: t.to(dtype) for name, t in w.items()}
        p = "vision_model."
        self.conv = w[p + "embeddings.patch_embedding.weight"]
        self.cls = w[p + "embeddings.class_embedding"]
        self.pos = w[p + "embeddings.position_embedding.weight"]
        self.pre = (w[p + "pre_layrnorm.weight"], w[p + "pre_layrnorm.bias"])
        self.post = (w[p + "post_layernorm.weight"], w[p + "post_layernorm.bias"])
        self.proj = w["visual_projection.weight"]
        self.blocks = []
        while f"{p}encoder.layers.{len(self.blocks)}.layer_norm1.weight" in w:
            q = f"{p}encoder.layers.{len(self.blocks)}."
            g = lambda n: (w[q + n + ".weight"], w[q + n + ".bias"])
            qkv = [g(f"self_attn.{c}_proj") for c in "qkv"]
            self.blocks.append(dict(qkv=(torch.cat([x[0] for x in qkv]), torch.cat([x[1] for x in qkv])), out=g("self_attn.out_proj"),
                                    n1=g("layer_norm1"), n2=g("layer_norm2"), fc1=g("mlp.fc1"), fc2=g("mlp.fc2")))
        self.width = self.cls.numel()
        self.heads = 16 if self.width in (1280, 1408, 1664) else self.width // 64

    @torch.no_grad()
    def __call__(self, x):
        w, h = (self.width,), self.heads
        x = F.conv2d(x, self.conv, stride=self.conv.shape[-1]).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], 1) + self.pos
        x = F.layer_norm(x, w, *self.pre)
        for b in self.blocks:
            n, t, _ = x.shape
            q, k, v = F.linear(F.layer_norm(x, w, *b["n1"]), *b["qkv"]).view(n, t, 3, h, -1).permute(2, 0, 3, 1, 4)
            a = F.scaled_dot_product_attention(q, k, v)
            x = x + F.linear(a.transpose(1, 2).reshape(n, t, -1), *b["out"])
            y = F.linear(F.layer_norm(x, w, *b["n2"]), *b["fc1"])
            x = x + F.linear(y * torch.sigmoid(1.702 * y), *b["fc2"])
        return F.linear(F.layer_norm(x[:, 0], w, *self.post), self.proj)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    bench, weights = sys.argv[1:3]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    kinds = sys.argv[4:] or ["float32"]
    threads = int(os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0))))
    torch.set_num_threads(threads)
    weights_of = load(weights)
    towers = {kind: Tower(weights_of, getattr(torch, kind)) for kind in kinds}
    some = towers[kinds[0]]
    size = int((some.pos.shape[0] - 1) ** 0.5) * some.conv.shape[-1]
    x = torch.randn(8, 3, size, size)
    clock, processor = ({who: [] for who in ["ours", *kinds]} for _ in range(2))
    for _ in range(rounds):
        out = subprocess.run([bench, weights, "1"], capture_output=True, text=True, check=True).stdout
        line = next(l for l in out.splitlines() if l.startswith("pictures"))
        clock["ours"].append(float(line.split()[1]))
        flop = float(line.split()[3]) / clock["ours"][-1]
        processor["ours"].append(float(re.search(r"by CPU time +([0-9.]+)", line).group(1)) / flop)
        for kind, tower in towers.items():
            pictures = x.to(getattr(torch, kind))
            begun, cpu = time.monotonic(), time.process_time()
            tower(pictures)
            clock[kind].append(8 / (time.monotonic() - begun))
            processor[kind].append(8 / (time.process_time() - cpu))
    print(f"{threads} threads, torch {torch.__version__}: pictures a second, best of {rounds} in turn")
    for name, rates in (("by the clock:", clock), ("by CPU seconds:", processor)):
        best = {who: max(row) for who, row in rates.items()}
        ratios = ", ".join(f"{best['ours'] / best[kind]:.2f}" for kind in kinds)
        print(f"    {name:18}" + ", ".join(f"{who} {rate:.3f}" for who, rate in best.items()) + f"; ours is {ratios} times as fast")


main()
