#!/usr/bin/env python3
"""Renders reduced models of every family with inbetween and with diffusers, and prints how far the pictures are apart, in steps of 8 bits.

    python3 -m venv venv && venv/bin/pip install torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 peft==0.21.2 accelerate==1.15.0 pillow
    venv/bin/python tools/compare_diffusers.py [--inbetween build/inbetween] [--scratch FOLDER] [NAME...]

NAME: only the comparisons whose names hold it. The models have the real families' structure, a fraction of their width and random weights
(tests/fixtures/diffusion/families.py); they are made in the scratch folder. Every comparison is a clip of three frames, from the model's
folder and from a single file of it under the original names: its ends must be the keyframes bit for bit, its middle diffusers' picture
to 2 steps. The status is the verdict.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FIXTURES = os.path.join(ROOT, "tests", "fixtures")
sys.path.insert(0, os.path.join(FIXTURES, "diffusion"))
import families  # noqa: E402
import random_weights  # noqa: E402

import diffusers  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from diffusers.loaders import single_file_utils  # noqa: E402
from PIL import Image  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import CLIPTokenizer  # noqa: E402

CLIP = os.path.join(FIXTURES, "clip-tiny")
KEYS = [os.path.join(FIXTURES, "diffusion", "pipeline", x + ".png") for x in "ab"]
PROMPT = "a red circle at the left"
SEED = 7


def make_model(folder, name):
    """FOLDER/NAME and FOLDER/NAME.safetensors."""
    pipeline, scheduler, parts = families.families()[name]
    path = os.path.join(folder, name)
    families.describe(path, pipeline, scheduler, parts)
    random_weights.main(path, path)
    random_weights.main(path, path + ".safetensors")
    rename_lora(os.path.join(path, "lora.safetensors"), parts["unet"])
    for part in parts:
        if part.startswith("text"):
            tokenizer = CLIPTokenizer.from_pretrained(CLIP, model_max_length=77)
            if parts[part].config.pad_token_id == 0:
                tokenizer.pad_token = "!"
            tokenizer.save_pretrained(os.path.join(path, part.replace("text_encoder", "tokenizer")))


def rename_lora(path, unet):
    """The LoRA beside itself under other names: PEFT's, and for its attentions kohya's after the single file's."""
    old, peft, sgm = load_file(path), {}, {}
    for place, _ in unet.named_modules():
        stem = "lora_unet_" + place.replace(".", "_")
        if stem + ".alpha" in old:
            peft["unet.%s.lora_A.weight" % place], peft["unet.%s.lora_B.weight" % place] = (old[stem + ".lora_%s.weight" % x] for x in ("down", "up"))
        if stem + ".alpha" in old and "attentions" in place:
            other = random_weights.unet_name(place + ".weight", 2)[:-len(".weight")].replace(".", "_")
            sgm.update({"lora_unet_" + other + end: old[stem + end] for end in (".lora_down.weight", ".lora_up.weight", ".alpha")})
    save_file(peft, path.replace("lora.", "lora-peft."))
    save_file(sgm, path.replace("lora.", "lora-sgm."))


class Case:
    """options: of render, for both kinds of files; single: more of them for the single file, None: there is none. call: of diffusers'
    pipeline. ip: base, plus; lora: its weight; sampler: diffusers' class; travel: from this prompt to another, without pictures; names: of
    the LoRA's tensors."""

    def __init__(self, name, model, options=(), single=(), call=None, ip=None, lora=None, sampler=None, travel=None, names=""):
        self.name, self.model, self.options, self.single = name, model, list(options), single
        self.call, self.ip, self.lora, self.sampler, self.travel = call or {}, ip, lora, sampler, travel
        self.lora_file = "lora%s.safetensors" % names


def cases():
    five = ["--steps", "5", "--guidance", "3"]
    call = dict(num_inference_steps=5, guidance_scale=3.0)
    quick = dict(num_inference_steps=4, guidance_scale=0.0)
    yield Case("sd1 as it is", "sd1", call=dict(num_inference_steps=20, guidance_scale=7.5))
    yield Case("sd1 ip-base", "sd1", five, call=call, ip="base")
    yield Case("sd1 ip-plus", "sd1", five, call=call, ip="plus")
    for word, kind in (("ddim", "DDIMScheduler"), ("euler", "EulerDiscreteScheduler"), ("dpm++", "DPMSolverMultistepScheduler"),
                       ("pndm", "PNDMScheduler")):
        yield Case("sd1 " + word, "sd1", [*five, "--sampler", word], call=call, sampler=kind)
    yield Case("sd1 lcm-lora", "sd1", ["--sampler", "lcm"], call=dict(num_inference_steps=4, guidance_scale=1.0), lora=1,
               sampler="LCMScheduler")
    yield Case("sd1 lcm-lora ip-plus", "sd1", ["--sampler", "lcm", "--guidance", "1.5"], ip="plus", lora=0.7, sampler="LCMScheduler",
               call=dict(num_inference_steps=4, guidance_scale=1.5))
    yield Case("sd2 as it is", "sd2", five, single=["--prediction", "v_prediction", "--sampler", "ddim"], call=call)
    yield Case("lcm as it is", "lcm", single=["--sampler", "lcm"], call=dict(num_inference_steps=4, guidance_scale=8.5))
    yield Case("lcm ip-plus", "lcm", ["--guidance", "2"], single=["--sampler", "lcm"], ip="plus",
               call=dict(num_inference_steps=4, guidance_scale=2.0))
    yield Case("sdxl as it is", "sdxl", call=dict(num_inference_steps=20, guidance_scale=5.0))
    yield Case("sdxl negative", "sdxl", [*five, "--negative-prompt", "blue"], call=dict(call, negative_prompt="blue"))
    yield Case("sd1 prompt travel", "sd1", five, single=["--tokenizer", CLIP], call=call, travel="a blue square")
    yield Case("sdxl prompt travel", "sdxl", five, single=["--tokenizer", CLIP], call=call, travel="a blue square")
    yield Case("sdxl ip-base", "sdxl", five, call=call, ip="base")
    yield Case("sdxl ip-plus", "sdxl", five, call=call, ip="plus")
    yield Case("sdxl lcm-lora", "sdxl", ["--sampler", "lcm"], call=dict(num_inference_steps=4, guidance_scale=1.0), lora=1,
               sampler="LCMScheduler")
    yield Case("sdxl lora-peft", "sdxl", five, call=call, lora=0.5, names="-peft")
    yield Case("sdxl lora-sgm", "sdxl", five, call=call, lora=2, names="-sgm")
    for word, kind in (("ddim", "DDIMScheduler"), ("dpm++", "DPMSolverMultistepScheduler")):
        yield Case("sdxl " + word, "sdxl", [*five, "--sampler", word], call=call, sampler=kind)
    yield Case("sdxl-turbo euler-a", "sdxl-turbo", ["--steps", "4", "--guidance", "0"], single=None, call=quick)
    yield Case("sdxl-turbo euler trailing", "sdxl-turbo", ["--steps", "4", "--guidance", "0", "--sampler", "euler"], single=["--spacing", "trailing"],
               call=quick, sampler="EulerDiscreteScheduler")
    yield Case("sdxl-turbo ip-base", "sdxl-turbo", ["--steps", "4", "--guidance", "0", "--sampler", "euler"], single=["--spacing", "trailing"],
               call=quick, sampler="EulerDiscreteScheduler", ip="base")


def slerp(a, b, t=0.5):
    """Token by token: the direction on the great circle, the length linearly."""
    a, b = a.double(), b.double()
    m, n = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    u, v = a / m, b / n
    w = 2 * torch.atan2((u - v).norm(dim=-1, keepdim=True), (u + v).norm(dim=-1, keepdim=True))
    turned = torch.where(w < 1e-4, (1 - t) * u + t * v, (torch.sin((1 - t) * w) * u + torch.sin(t * w) * v) / torch.sin(w).clamp(min=1e-30))
    return (((1 - t) * m + t * n) * turned).float()


def run(command):
    p = subprocess.run(command, capture_output=True, text=True, check=False)
    if p.returncode:
        sys.exit(" ".join(command) + "\n" + p.stderr)


def samples(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


class Comparison:
    def __init__(self, program, scratch):
        self.program, self.scratch = program, scratch

    def at(self, *parts):
        return os.path.join(self.scratch, *parts)

    def embeddings(self, tokens):
        out = self.at("way-%s.safetensors" % tokens)
        if not os.path.exists(out):
            run([self.program, "render", *KEYS, "-o", out, "-n", "3", "--space", "clip:" + CLIP, "--tokens", tokens])
        return load_file(out)

    def pipeline(self, case):
        folder = self.at(case.model)
        pipe = diffusers.DiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32, local_files_only=True)
        pipe.set_progress_bar_config(disable=True)
        if case.sampler:
            pipe.scheduler = getattr(diffusers, case.sampler).from_config(pipe.scheduler.config)
        if case.lora:
            pipe.load_lora_weights(folder, weight_name=case.lora_file, adapter_name="l")
            pipe.set_adapters(["l"], [case.lora])
        return pipe

    def names(self, model):
        """Whether diffusers' own converters find the folder's numbers in the single file. They do not know an LCM's cond_proj."""
        single, bad = load_file(self.at(model + ".safetensors")), []
        converters = {"unet": single_file_utils.convert_ldm_unet_checkpoint, "vae": single_file_utils.convert_ldm_vae_checkpoint}
        for part, (_, config) in self.parts(model).items():
            wanted = load_file(self.at(model, part, "model.safetensors" if config is None else "diffusion_pytorch_model.safetensors"))
            if config is not None:
                found = converters[part](dict(single), config=config)
            elif part == "text_encoder_2" or model == "sd2":
                prefix = "conditioner.embedders.1.model." if part == "text_encoder_2" else "cond_stage_model.model."
                found = single_file_utils.convert_open_clip_checkpoint(self.parts(model)[part][0], dict(single), prefix)
            else:
                found = single_file_utils.convert_ldm_clip_checkpoint(dict(single))
            bad += [part + "/" + n for n, t in wanted.items() if "cond_proj" not in n
                    and (n not in found or not torch.equal(t, found[n].reshape(t.shape)))]
        print("%-27s single file  %s" % (model, "FAILED: " + bad[0] if bad else "good  as diffusers reads it"), flush=True)
        return not bad

    @staticmethod
    def parts(model):
        parts = families.families()[model][2]
        return {part: (m, None if part.startswith("text") else dict(m.config)) for part, m in parts.items()}

    def expected(self, case, prompt=PROMPT):
        pipe, call = self.pipeline(case), dict(case.call)
        if case.ip:
            pipe.load_ip_adapter(self.at(case.model), subfolder="", weight_name="ip-%s.safetensors" % case.ip, image_encoder_folder=None)
            way = self.embeddings("pooled" if case.ip == "base" else "penultimate")
            if case.ip == "base":
                e = way["image_embeds"][1][None, None]
                none = torch.zeros_like(e)
            else:
                e, none = way["hidden_states"][1][None, None], way["negative_hidden_states"].reshape(1, 1, *way["hidden_states"].shape[1:])
            guided = call["guidance_scale"] > 1 and case.model != "lcm"
            call["ip_adapter_image_embeds"] = [torch.cat([none, e]) if guided else e]
        if case.travel:
            texts = [pipe.encode_prompt(prompt=p, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True)
                     for p in (prompt, case.travel)]
            names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
            call.update({n: slerp(*x) if not n.startswith("negative") else x[0] for n, *x in zip(names, *texts)})
            prompt = None
        return pipe(prompt, generator=torch.Generator().manual_seed(SEED), height=64, width=64, output_type="np", **call).images[0]

    def rendered(self, case, model, more):
        out = self.at("out-%d.png")
        lead = ["text:" + PROMPT, "text:" + case.travel, "--direct", "--space", "text:" + model] if case.travel else \
            [*KEYS, "--space", "clip:" + CLIP, "--prompt", PROMPT]
        line = [self.program, "render", *lead, "-o", out, "-n", "3", "--renderer", model, "--seed", str(SEED), "--size", "64x64", "--strength", "1", "--diffuse-every", "1", "--guide", "none", "--overwrite",
                *case.options, *more]
        if case.ip:
            line += ["--ip-adapter", self.at(case.model, "ip-%s.safetensors" % case.ip)]
        if case.lora:
            line += ["--lora", "%s:%g" % (self.at(case.model, case.lora_file), case.lora)]
        p = subprocess.run(line, capture_output=True, text=True, check=False)
        if p.returncode:
            return None, p.stderr.strip().split("\n")[-1]
        ends = case.travel or all((samples(out % i) == samples(k)).all() for i, k in ((1, KEYS[0]), (3, KEYS[1])))
        return samples(out % 2), "" if ends else "the ends are not the keyframes"

    def compare(self, case):
        if not os.path.exists(self.at(case.model)):
            make_model(self.scratch, case.model)
        wanted = self.expected(case)
        moved = abs(self.expected(case, "a blue square") - wanted).max() * 255
        wanted, good = (wanted * 255).round().astype(int), moved > 10
        kinds = [("folder", self.at(case.model), [])]
        if case.single is not None:
            kinds.append(("single file", self.at(case.model + ".safetensors"), list(case.single)))
        for kind, path, more in kinds:
            got, why = self.rendered(case, path, more)
            off = 999 if got is None else abs(got - wanted).max()
            fine = off <= 2 and not why
            print("%-27s %-12s %s %s (another prompt: %.0f) %s" % (case.name, kind, "good  " if fine and good else "FAILED", off, moved, why), flush=True)
            good = good and fine
        return good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--inbetween", default=os.path.join(ROOT, "build", "inbetween"))
    parser.add_argument("--scratch")
    parser.add_argument("name", nargs="*")
    a = parser.parse_args()
    scratch = a.scratch or tempfile.mkdtemp(prefix="inbetween-compare.")
    os.makedirs(scratch, exist_ok=True)
    c = Comparison(a.inbetween, scratch)
    chosen = [x for x in cases() if not a.name or any(n in x.name for n in a.name)]
    bad = [x.name for x in chosen if not c.compare(x)]
    bad += [x for x in sorted({x.model for x in chosen if x.single is not None}) if not c.names(x)]
    if not a.scratch:
        shutil.rmtree(scratch)
    print("%d comparisons, %d failed" % (len(chosen), len(bad)))
    return bool(bad) or not chosen


if __name__ == "__main__":
    sys.exit(main())
