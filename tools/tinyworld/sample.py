"""Draws with a world that is being trained, and measures it: contact sheets and rates, by PyTorch.

    python sample.py CHECKPOINT VAE CLIP OUT [--n 64] [--steps 12] [--guidance 2]

OUT.png: rows of fresh plain scenes, of what the autoencoder makes of them, and of what is drawn from their pooled
embeddings, from their hidden tokens, and from their captions. Figures go to the output.
"""
import argparse
import json

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import captions
import detector
import scenes
from common import load_vae, pixels
from unet import Towers, World, new_scheduler


@torch.inference_mode()
def draw(world, context, empty, ip, ip_empty, steps, guidance, seed=7):
    """Latents [n,c,8,8] by DDIM. ip: (adapter, tokens, scale) or None; the empty ones: where nothing is asked for."""
    n = len(context)
    c = world.unet.config.in_channels
    z = torch.randn(1, c, 8, 8, generator=torch.Generator().manual_seed(seed)).repeat(n, 1, 1, 1)
    scheduler = new_scheduler()
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        both = [(context, ip)] + ([(empty.expand_as(context), ip_empty)] if guidance != 1 else [])
        said = [world.unet(z, t, c, cross_attention_kwargs={"ip": i}).sample for c, i in both]
        v = said[0] if guidance == 1 else said[1] + guidance * (said[0] - said[1])
        z = scheduler.step(v, t, z).prev_sample
    return z


def see(world, plus, x, towers):
    """`ip` of what goes into an adapter, and of nothing. x: embeddings or hidden tokens."""
    adapter = world.plus if plus else world.base
    nothing = towers.unseen if plus else torch.zeros(1, x.shape[1])
    one = torch.ones(1, 1, 1)
    return (adapter, adapter.image_proj(x), one), (adapter, adapter.image_proj(nothing).expand(len(x), -1, -1), one)


def decode(vae, z):
    with torch.inference_mode():
        y = (vae.decode(z).sample / 2 + 0.5).clamp(0, 1)
    return (y.permute(0, 2, 3, 1) * 255).round().byte().numpy()


def embed(towers, drawn):
    with torch.inference_mode():
        x = pixels(torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255)
        v = towers.model.vision_model(pixel_values=x, output_hidden_states=True)
        return towers.model.visual_projection(v.pooler_output), v.hidden_states[-2]


def sheet(rows, path, shown=24):
    """Rows of pictures, one under the other."""
    Image.fromarray(np.concatenate([np.concatenate(list(r[:shown]), 1) for r in rows])).save(path)


def figures(towers, truth, s, drawn):
    z, _ = embed(towers, truth)
    y, _ = embed(towers, drawn)
    return {"cosine": round(F.cosine_similarity(z, y).mean().item(), 4),
            "other": round(F.cosine_similarity(z, z.roll(1, 0)).mean().item(), 4), **detector.rates(drawn, s)}


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("checkpoint", "vae", "clip", "out"):
        p.add_argument(name)
    p.add_argument("--n", type=int, default=64)
    p.add_argument("--steps", type=int, default=12)
    p.add_argument("--guidance", type=float, default=2)
    p.add_argument("--seed", type=int, default=5)
    a = p.parse_args()
    state = torch.load(a.checkpoint, weights_only=True)
    world, towers, vae = World(), Towers(a.clip), load_vae(a.vae)
    for name, value in world.named_parameters():
        value.data.copy_(state["average"][name])
    world.eval()
    rng = np.random.default_rng([55, a.seed])
    s = scenes.sample(rng, a.n, True)
    truth = scenes.draw(s)
    z, hidden = embed(towers, truth)
    with torch.inference_mode():
        rebuilt = decode(vae, vae.encode(torch.from_numpy(truth).permute(0, 3, 1, 2).float() / 127.5 - 1).latents)
        empty = towers.empty.expand(a.n, -1, -1)
        texts = [captions.caption(rng, s, i, whole=True) for i in range(a.n)]
        context = towers.text(torch.from_numpy(captions.Words()(texts)))
        rows = {"vae": rebuilt}
        for name, plus, x in (("pooled", False, z), ("hidden", True, hidden)):
            ip, nothing = see(world, plus, x, towers)
            rows[name] = decode(vae, draw(world, empty, towers.empty, ip, nothing, a.steps, a.guidance))
        rows["prompt"] = decode(vae, draw(world, context, towers.empty, None, None, a.steps, max(a.guidance, 3)))
    print(json.dumps({"step": state["step"], **{k: figures(towers, truth, s, v) for k, v in rows.items()}}, indent=1))
    sheet([truth, *rows.values()], a.out + ".png")
