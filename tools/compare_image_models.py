#!/usr/bin/env python3
"""Compares `inbetween render --renderer` with diffusers on models that are led by image embeddings: Stable unCLIP 2.1 h and l, as folder and
as single file under the original names, and Kandinsky 2.2. Makes them in a scratch folder with their real structure at reduced width and
random weights, renders three frames of 64x64 with both programs, and prints how far the middle one differs, in steps of 8 bits. Exits with 1
if one differs by more than 2.

    python3 tools/compare_image_models.py [build/inbetween [FOLDER]]

Needs diffusers (tried: 0.42.1), transformers (5), torch (2.13), safetensors, numpy, Pillow. With FOLDER the models stay there.
"""
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FIXTURES = os.path.join(ROOT, "tests", "fixtures")
sys.path.insert(0, os.path.join(FIXTURES, "diffusion"))
import random_weights  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from diffusers import (AutoencoderKL, DDIMScheduler, DDPMScheduler, KandinskyV22Pipeline, PNDMScheduler,  # noqa: E402
                       StableUnCLIPImg2ImgPipeline, UNet2DConditionModel, VQModel)
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer  # noqa: E402
from PIL import Image  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import (CLIPImageProcessor, CLIPTextConfig, CLIPTextModel, CLIPTokenizer, CLIPVisionConfig,  # noqa: E402
                          CLIPVisionModelWithProjection)

CLIP = os.path.join(FIXTURES, "clip-tiny")
GO = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build", "inbetween")
PROMPT, SIDE, STEPS = "a red circle at the left", 64, 5


def randomize(model, seed, gain=1.0):
    """Random weights that are halves, so that all precisions agree."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim > 1:
                p.copy_(torch.randn(p.shape, generator=g) * gain / p[0].numel() ** 0.5)
            else:
                p.copy_(torch.randn(p.shape, generator=g) * 0.05 + ("norm" in name and name.endswith("weight")))
            p.copy_(p.half().float())
    return model.eval()


def vision(width, seed, act):
    c = CLIPVisionConfig(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=1, image_size=48, patch_size=16,
                         hidden_act=act, projection_dim=width)
    return randomize(CLIPVisionModelWithProjection(c), seed)


def processor():
    return CLIPImageProcessor(size={"shortest_edge": 48}, crop_size={"height": 48, "width": 48})


def kl(seed):
    vae = AutoencoderKL(block_out_channels=(32, 32, 64, 64), down_block_types=("DownEncoderBlock2D",) * 4, norm_num_groups=32, layers_per_block=2,
                        up_block_types=("UpDecoderBlock2D",) * 4)
    randomize(vae, seed)
    with torch.no_grad():
        vae.decoder.conv_out.weight.mul_(0.25)
    return vae


def unclip(width, seed, act):
    """Stable unCLIP 2.1: SD2's U-Net with projected classes, its text tower of one layer less than in a single file, an image tower."""
    g = torch.Generator().manual_seed(seed)
    unet = UNet2DConditionModel(sample_size=SIDE // 8, block_out_channels=(64, 64, 128, 128), layers_per_block=2, cross_attention_dim=64,
                                attention_head_dim=(1, 1, 2, 2), norm_num_groups=32, use_linear_projection=True, class_embed_type="projection",
                                projection_class_embeddings_input_dim=2 * width)
    randomize(unet, seed + 1)
    with torch.no_grad():
        unet.conv_out.weight.mul_(0.5)
    text = CLIPTextModel(CLIPTextConfig(vocab_size=560, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=1,
                                        hidden_act="gelu", bos_token_id=558, eos_token_id=559, pad_token_id=0))
    normalizer = StableUnCLIPImageNormalizer(embedding_dim=width)
    if act == "quick_gelu":  # l; h's are zeros and ones
        normalizer.mean.data = torch.randn(1, width, generator=g) * 0.3
        normalizer.std.data = torch.rand(1, width, generator=g) + 0.5
    tokenizer = CLIPTokenizer.from_pretrained(CLIP, pad_token="!")
    tokenizer.model_max_length = 77
    beta = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction", steps_offset=1)
    return StableUnCLIPImg2ImgPipeline(
        feature_extractor=processor(), image_encoder=vision(width, seed + 2, act), image_normalizer=normalizer,
        image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"), tokenizer=tokenizer, text_encoder=randomize(text, seed + 3),
        unet=unet, scheduler=PNDMScheduler(skip_prk_steps=True, set_alpha_to_one=False, **beta), vae=kl(seed + 4))


def kandinsky(width, seed):
    unet = UNet2DConditionModel(sample_size=SIDE // 8, out_channels=8, block_out_channels=(32, 32, 64, 64), layers_per_block=3,
                                norm_num_groups=32, cross_attention_dim=24, attention_head_dim=8, encoder_hid_dim=width,
                                encoder_hid_dim_type="image_proj", addition_embed_type="image", resnet_time_scale_shift="scale_shift",
                                down_block_types=("ResnetDownsampleBlock2D",) + ("SimpleCrossAttnDownBlock2D",) * 3,
                                mid_block_type="UNetMidBlock2DSimpleCrossAttn",
                                up_block_types=("SimpleCrossAttnUpBlock2D",) * 3 + ("ResnetUpsampleBlock2D",))
    movq = VQModel(block_out_channels=(32, 32, 64, 64), norm_num_groups=32, layers_per_block=2, latent_channels=4, num_vq_embeddings=16,
                   vq_embed_dim=4, norm_type="spatial", down_block_types=("DownEncoderBlock2D",) * 3 + ("AttnDownEncoderBlock2D",),
                   up_block_types=("AttnUpDecoderBlock2D",) + ("UpDecoderBlock2D",) * 3)
    randomize(unet, seed)
    randomize(movq, seed + 1)
    with torch.no_grad():
        unet.conv_out.weight.mul_(0.2)
        movq.decoder.conv_out.weight.mul_(0.05)
        for name, p in movq.named_parameters():  # else attention over strong latents is chaos
            if name.endswith("to_q.weight"):
                p.mul_(0.125)
    scheduler = DDPMScheduler(beta_schedule="linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, steps_offset=1)
    return KandinskyV22Pipeline(unet=unet, scheduler=scheduler, movq=movq), vision(width, seed + 2, "gelu")


# ---- single files ----

def halves(part, model):
    """{PART/NAME: (shape, bytes)} of a model."""
    stem = "text_model." if part == "text_encoder" else ""  # which transformers 5 leaves out
    return {f"{part}/{n if n.startswith(stem) else stem + n}": (tuple(t.shape), t.half().contiguous().numpy().tobytes())
            for n, t in model.state_dict().items()}


def single_file(pipe, path):
    out = random_weights.single(halves("unet", pipe.unet) | halves("vae", pipe.vae) | halves("text_encoder", pipe.text_encoder))
    out["cond_stage_model.model.text_projection"] = (64, 64), np.eye(64, dtype=np.float16).tobytes()
    image = halves("image_encoder", pipe.image_encoder)
    random_weights.write(path, out | random_weights.openclip(image, "image_encoder", "embedder.model.visual."))


# ---- both programs ----

def keyframes(folder):
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    paths = []
    for name in "ab":
        planes = [127 + 100 * np.sin(x / (5 + 3 * rng.random()) + rng.random() * 6) * np.cos(y / (4 + 5 * rng.random())) for _ in range(3)]
        paths.append(os.path.join(folder, name + ".png"))
        Image.fromarray(np.stack(planes, -1).clip(0, 255).astype("uint8")).save(paths[-1])
    return paths


def ours(folder, ways, space, renderer, *more):
    out = os.path.join(folder, "out-%d.png")
    subprocess.run([GO, "render", *ways, "-o", out, "-n", "3", "--space", "clip:" + space, "--renderer", renderer, "--strength", "1",
                    "--diffuse-every", "1", "--guide", "none", "--overwrite", "--quiet", *more], check=True)
    pictures = [np.asarray(Image.open(out % i)).astype(int) for i in (1, 2, 3)]
    for i in (0, 1):
        if (pictures[2 * i] != np.asarray(Image.open(ways[i]))).any():
            sys.exit(f"{renderer}: a keyframe is not in the clip as it is")
    return pictures[1]


def embeddings(folder, ways, space):
    way = os.path.join(folder, "way.safetensors")
    subprocess.run([GO, "render", *ways, "-o", way, "-n", "3", "--space", "clip:" + space, "--quiet"], check=True)
    t = load_file(way)
    return t["image_embeds"][1][None], t["negative_image_embeds"].reshape(1, -1)


def compare(name, theirs, mine):
    d = np.abs((theirs * 255).round().astype(int) - mine)
    print(f"{name:34} largest difference {d.max()}, deviation of the picture {mine.std():.1f}", flush=True)
    return d.max() > 2 or mine.std() < 5


def generator():
    return torch.Generator().manual_seed(7)


def compare_unclip(folder, ways):
    bad = False
    for letter, width, act in (("h", 24, "gelu"), ("l", 20, "quick_gelu")):
        pipe, at = unclip(width, 10 * width, act), os.path.join(folder, "unclip-" + letter)
        pipe.save_pretrained(at)
        pipe.set_progress_bar_config(disable=True)
        single = os.path.join(folder, f"single-{letter}", f"unclip-{letter}.safetensors")
        os.makedirs(os.path.dirname(single), exist_ok=True)
        single_file(pipe, single)
        pipe.tokenizer.save_pretrained(os.path.join(folder, f"single-{letter}", "tokenizer"))
        pipe.image_normalizer.save_pretrained(os.path.join(folder, f"single-{letter}", "image_normalizer"))
        e, _ = embeddings(folder, ways, os.path.join(at, "image_encoder"))
        usual = dict(prompt="", num_inference_steps=20, guidance_scale=10.0)
        asked = dict(prompt=PROMPT, negative_prompt="blue", num_inference_steps=STEPS, guidance_scale=3.0)
        options = ["--prompt", PROMPT, "--negative-prompt", "blue", "--steps", str(STEPS), "--guidance", "3"]
        for kind, where, space in (("folder", at, os.path.join(at, "image_encoder")), ("single file", single, single)):
            for level in (0, 300):
                for what, how, words in (("as it comes", usual, []), ("with a prompt", asked, options)):
                    picture = pipe(image_embeds=e, noise_level=level, generator=generator(), output_type="np", **how).images[0]
                    act_words = ["--activation", act] if kind == "single file" else []
                    got = ours(folder, ways, space, where, "--size", f"{SIDE}x{SIDE}", "--seed", "7", "--noise-level", str(level), *act_words, *words)
                    bad |= compare(f"unclip-{letter}, {kind}, {level}, {what}", picture, got)
    return bad


def compare_kandinsky(folder, ways):
    bad = False
    pipe, image = kandinsky(28, 500)
    at = os.path.join(folder, "kandinsky")
    pipe.save_pretrained(at)
    pipe.set_progress_bar_config(disable=True)
    tower_at = os.path.join(folder, "kandinsky-prior", "image_encoder")
    image.save_pretrained(tower_at)
    processor().save_pretrained(tower_at)
    e, none = embeddings(folder, ways, tower_at)
    for sampler, scheduler in (("ddpm", pipe.scheduler), ("ddim", DDIMScheduler.from_config(pipe.scheduler.config))):
        pipe.scheduler = scheduler
        picture = pipe(image_embeds=e, negative_image_embeds=none, height=SIDE, width=SIDE, num_inference_steps=STEPS, guidance_scale=4.0,
                       generator=generator(), output_type="np").images[0]
        words = [] if sampler == "ddpm" else ["--sampler", sampler]
        bad |= compare("kandinsky, folder, " + sampler, picture, ours(folder, ways, tower_at, at, "--steps", str(STEPS), "--seed", "7", *words))
    return bad


def main(folder):
    ways = keyframes(folder)
    return compare_kandinsky(folder, ways) | compare_unclip(folder, ways)


if len(sys.argv) > 2:
    os.makedirs(sys.argv[2], exist_ok=True)
    sys.exit(int(main(sys.argv[2])))
with tempfile.TemporaryDirectory() as scratch:
    sys.exit(int(main(scratch)))
