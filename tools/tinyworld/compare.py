"""Draws with diffusers and with `inbetween` what must be the same, and prints the largest difference of a sample.

    python compare.py WORLD INBETWEEN

A prompt, a pooled embedding, hidden tokens, and a prompt with the LCM-LoRA. Not more than 2 of 255 passes.
"""
import argparse
import subprocess
import tempfile

import numpy as np
import torch
from diffusers import LCMScheduler, StableDiffusionPipeline
from PIL import Image

import scenes
from common import pixels
from unet import Towers

TEXT = "a large red circle at the left on a white background"


def ours(a, folder, *words):
    subprocess.run([a.inbetween, "render", *words, "-o", f"{folder}/out-%d.png", "-n", "3", "--renderer", a.world,
                    "--strength", "1", "--diffuse-every", "1", "--size", "64x64", "--guide", "none", "--overwrite",
                    "--seed", "7"], check=True, capture_output=True)
    return np.asarray(Image.open(f"{folder}/out-2.png").convert("RGB")).astype(int)


def theirs(pipe, steps, guidance, **words):
    made = pipe(num_inference_steps=steps, guidance_scale=guidance, height=64, width=64, output_type="np",
                generator=torch.Generator().manual_seed(7), **words).images[0]
    return np.rint(made * 255).astype(int)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("world")
    p.add_argument("inbetween")
    a = p.parse_args()
    open_pipe = lambda: StableDiffusionPipeline.from_pretrained(a.world, torch_dtype=torch.float32)
    towers, found = Towers(f"{a.world}/clip"), {}
    picture = scenes.draw(scenes.sample(np.random.default_rng([88, 1]), 1, True))
    x = pixels(torch.from_numpy(picture).permute(0, 3, 1, 2).float() / 255)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        key = f"{folder}/key.png"
        Image.fromarray(picture[0]).save(key)
        pipe = open_pipe()
        mine = ours(a, folder, "text:" + TEXT, "text:" + TEXT, "--space", f"text:{a.world}", "--steps", "6",
                    "--guidance", "3")
        found["prompt"] = np.abs(mine - theirs(pipe, 6, 3, prompt=TEXT)).max()
        for name, file, tokens in (("pooled", "ip-adapter", "pooled"), ("hidden", "ip-adapter-plus", "penultimate")):
            if tokens == "pooled":
                z = towers.model.get_image_features(pixel_values=x).pooler_output[None]
                nothing = torch.zeros_like(z)
            else:
                z, nothing = towers.hidden(x)[None], towers.unseen[None]
            pipe = open_pipe()
            pipe.load_ip_adapter(a.world, subfolder="", weight_name=f"{file}.safetensors", image_encoder_folder=None)
            mine = ours(a, folder, key, key, "--space", f"clip:{a.world}/clip", "--tokens", tokens, "--ip-adapter",
                        f"{a.world}/{file}.safetensors", "--condition", "image", "--steps", "6", "--guidance", "2")
            said = theirs(pipe, 6, 2, prompt="", ip_adapter_image_embeds=[torch.cat([nothing, z])])
            found[name] = np.abs(mine - said).max()
        pipe = open_pipe()
        pipe.load_lora_weights(a.world, weight_name="lcm-lora.safetensors")
        pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
        mine = ours(a, folder, "text:" + TEXT, "text:" + TEXT, "--space", f"text:{a.world}", "--steps", "4",
                    "--guidance", "1", "--sampler", "lcm", "--lora", f"{a.world}/lcm-lora.safetensors")
        found["lcm"] = np.abs(mine - theirs(pipe, 4, 1, prompt=TEXT)).max()
    print({k: int(v) for k, v in found.items()})
    raise SystemExit(max(found.values()) > 2)
