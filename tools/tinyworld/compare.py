"""Draws with diffusers and with `inbetween` what must be the same, and prints the largest difference of a sample.

    python compare.py WORLD INBETWEEN [--expected FOLDER]

A prompt, a pooled embedding, hidden tokens, and a prompt with the LCM-LoRA (which needs peft). Not more than 2 of 255
passes. FOLDER gets what transformers and diffusers made, for tests without them: key.png and the pictures, and
expected.safetensors with the towers' outputs and the latents that four samplers come to.
"""
import argparse
import os
import subprocess
import tempfile

import numpy as np
import torch
from diffusers import (DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, LCMScheduler,
                       PNDMScheduler, StableDiffusionPipeline)
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPTokenizerFast

import scenes
from common import pixels
from unet import Towers

TEXT = "a large red circle at the left on a white background"


def ours(a, folder, frame, *words):
    """One of three pictures: the first is a prompt's own, the middle one between two keyframes."""
    subprocess.run([a.inbetween, "render", *words, "-o", f"{folder}/out-%d.png", "-n", "3", "--renderer", a.world,
                    "--strength", "1", "--diffuse-every", "1", "--size", "64x64", "--guide", "none", "--overwrite",
                    "--seed", "7"], check=True, capture_output=True)
    return np.asarray(Image.open(f"{folder}/out-{frame}.png").convert("RGB"))


def theirs(pipe, steps, guidance, **words):
    made = pipe(num_inference_steps=steps, guidance_scale=guidance, height=64, width=64, output_type="np",
                generator=torch.Generator().manual_seed(7), **words).images[0]
    return np.rint(made * 255).astype(np.uint8)


def open_pipe(a):
    pipe = StableDiffusionPipeline.from_pretrained(a.world, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def prompt(a, folder, lcm):
    pipe, own = open_pipe(a), ["--steps", "6", "--guidance", "3"]
    steps, guidance = 6, 3
    if lcm:
        pipe.load_lora_weights(a.world, weight_name="lcm-lora.safetensors")
        pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
        steps, guidance = 4, 1
        own = ["--steps", "4", "--guidance", "1", "--sampler", "lcm", "--lora", f"{a.world}/lcm-lora.safetensors"]
    return (ours(a, folder, 1, "text:" + TEXT, "text:" + TEXT, "--space", f"text:{a.world}", *own),
            theirs(pipe, steps, guidance, prompt=TEXT))


def picture(a, folder, key, file, tokens, z, nothing):
    pipe = open_pipe(a)
    pipe.load_ip_adapter(a.world, subfolder="", weight_name=f"{file}.safetensors", image_encoder_folder=None)
    return (ours(a, folder, 2, key, key, "--space", f"clip:{a.world}/clip", "--tokens", tokens, "--ip-adapter",
                 f"{a.world}/{file}.safetensors", "--condition", "image", "--steps", "6", "--guidance", "2"),
            theirs(pipe, 6, 2, prompt="", ip_adapter_image_embeds=[torch.cat([nothing, z])[:, None]]))


def paths(a, tokens=20):
    """From one noise to latents: five steps of each sampler, guidance 3."""
    pipe, out = open_pipe(a), {}
    asked, negative = (e[:, :tokens] for e in pipe.encode_prompt(TEXT, "cpu", 1, True, ""))
    noise = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(3))
    out |= {"asked": asked, "negative": negative, "noise": noise}
    for name, kind, words in (
            ("ddim", DDIMScheduler, {"clip_sample": False, "set_alpha_to_one": False}),
            ("pndm", PNDMScheduler, {"skip_prk_steps": True}), ("euler", EulerDiscreteScheduler, {"timestep_spacing": "leading"}),
            ("dpmpp", DPMSolverMultistepScheduler, {"use_karras_sigmas": True})):
        s = kind(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction",
                 steps_offset=1, **words)
        s.set_timesteps(5)
        z = noise * s.init_noise_sigma
        for t in s.timesteps:
            v = pipe.unet(s.scale_model_input(torch.cat([z, z]), t), t, torch.cat([negative, asked])).sample
            z = s.step(v[:1] + 3 * (v[1:] - v[:1]), t, z).prev_sample
        out[name] = z
    return {k: v.contiguous().clone() for k, v in out.items()}


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("world")
    p.add_argument("inbetween")
    p.add_argument("--expected")
    a = p.parse_args()
    towers = Towers(f"{a.world}/clip")
    drawn = scenes.draw(scenes.sample(np.random.default_rng([88, 1]), 1, True))
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        key = f"{folder}/key.png"
        Image.fromarray(drawn[0]).save(key)
        x = pixels(torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255)
        z, hidden = towers.model.get_image_features(pixel_values=x).pooler_output, towers.hidden(x)
        ids = CLIPTokenizerFast.from_pretrained(f"{a.world}/clip")([TEXT], padding="max_length", max_length=77,
                                                                  return_tensors="pt")["input_ids"]
        text = towers.model.get_text_features(input_ids=ids).pooler_output
        found = {"prompt": prompt(a, folder, False), "lcm": prompt(a, folder, True),
                 "pooled": picture(a, folder, key, "ip-adapter", "pooled", z, torch.zeros_like(z)),
                 "hidden": picture(a, folder, key, "ip-adapter-plus", "penultimate", hidden, towers.unseen)}
        worst = {k: int(np.abs(m.astype(int) - t).max()) for k, (m, t) in found.items()}
        print(worst)
        if a.expected:
            os.makedirs(a.expected, exist_ok=True)
            Image.fromarray(drawn[0]).save(f"{a.expected}/key.png")
            for k, (_, t) in found.items():
                Image.fromarray(t).save(f"{a.expected}/{k}.png")
            save_file({"picture": z.clone(), "hidden": hidden[:, ::16].clone(), "text": text.clone(),
                       "ids": ids.int(), **paths(a)}, f"{a.expected}/expected.safetensors", {"prompt": TEXT})
    raise SystemExit(max(worst.values()) > 2)
