"""Random pipelines of the real ones' structure that draw 32 x 32 px in no time. Image embeddings are those of the tiny CLIP among the
library's test fixtures: 24 numbers, hidden tokens [10, 48]."""

from __future__ import annotations

import diffusers
import torch
import transformers
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    EulerAncestralDiscreteScheduler,
    KandinskyV22Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    StableUnCLIPImg2ImgPipeline,
    UNet2DConditionModel,
    VQModel,
)
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
from transformers import CLIPImageProcessor, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection

from inbetween import _declarations

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
diffusers.utils.logging.set_verbosity_error()
ROOT = _declarations.source_tree()
CLIP = str(ROOT / "tests" / "fixtures" / "clip-tiny") if ROOT else ""
WIDTH, HIDDEN, TOKENS = 24, 48, 10
SIZE = 32  # px
CROSS, DOWN, UP_CROSS, UP = "CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"
UNET = dict(sample_size=SIZE // 2, block_out_channels=(32, 32), layers_per_block=1, attention_head_dim=8, norm_num_groups=8)
BLOCKS = dict(down_block_types=(CROSS, DOWN), up_block_types=(UP, UP_CROSS))
NOISE = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, steps_offset=1)


def random(kind, seed, **config):
    torch.manual_seed(seed)
    return kind(**config).eval()


def vae():
    return random(AutoencoderKL, 1, block_out_channels=(16, 16), down_block_types=("DownEncoderBlock2D",) * 2, norm_num_groups=8,
                  up_block_types=("UpDecoderBlock2D",) * 2, layers_per_block=1, scaling_factor=0.5)  # fmt: skip


def text():
    """A tokenizer and a text encoder, 32 wide."""
    tokenizer = CLIPTokenizer.from_pretrained(CLIP, pad_token="!", model_max_length=77)
    return tokenizer, CLIPTextModel.from_pretrained(CLIP).float().eval()


def sd(scheduler=DDIMScheduler):
    tokenizer, encoder = text()
    keep = {name: value for name, value in NOISE.items() if scheduler is DDIMScheduler or name != "clip_sample"}
    return StableDiffusionPipeline(
        vae=vae(), text_encoder=encoder, tokenizer=tokenizer,
        unet=random(UNet2DConditionModel, 2, cross_attention_dim=32, **UNET, **BLOCKS),
        scheduler=scheduler(**keep), safety_checker=None, feature_extractor=CLIPImageProcessor(), requires_safety_checker=False,
    )  # fmt: skip


def ancestral():
    """One whose sampler adds noise in every step."""
    return sd(EulerAncestralDiscreteScheduler)


def sdxl():
    tokenizer, encoder = text()
    unet = random(UNet2DConditionModel, 3, cross_attention_dim=64, addition_embed_type="text_time", addition_time_embed_dim=8,
                  projection_class_embeddings_input_dim=6 * 8 + WIDTH, **UNET, **BLOCKS)  # fmt: skip
    return StableDiffusionXLPipeline(
        vae=vae(), text_encoder=encoder, text_encoder_2=CLIPTextModelWithProjection.from_pretrained(CLIP).float().eval(),
        tokenizer=tokenizer, tokenizer_2=tokenizer, unet=unet, scheduler=DDIMScheduler(**NOISE),
        add_watermarker=False, feature_extractor=CLIPImageProcessor(),
    )  # fmt: skip


def unclip():
    tokenizer, encoder = text()
    unet = random(UNet2DConditionModel, 4, cross_attention_dim=32, class_embed_type="projection",
                  projection_class_embeddings_input_dim=2 * WIDTH, **UNET, **BLOCKS)  # fmt: skip
    normalizer = random(StableUnCLIPImageNormalizer, 5, embedding_dim=WIDTH)
    normalizer.mean.data, normalizer.std.data = 0.3 * torch.randn(1, WIDTH), torch.rand(1, WIDTH) + 0.5
    return StableUnCLIPImg2ImgPipeline(
        feature_extractor=CLIPImageProcessor(), image_encoder=CLIPVisionModelWithProjection.from_pretrained(CLIP).float().eval(),
        image_normalizer=normalizer, image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"), tokenizer=tokenizer,
        text_encoder=encoder, unet=unet, scheduler=DDIMScheduler(**NOISE), vae=vae(),
    )  # fmt: skip


def kandinsky():
    unet = random(UNet2DConditionModel, 6, in_channels=4, out_channels=8, addition_embed_type="image", encoder_hid_dim=WIDTH,
                  encoder_hid_dim_type="image_proj", cross_attention_dim=32, down_block_types=("ResnetDownsampleBlock2D",
                  "SimpleCrossAttnDownBlock2D"), mid_block_type="UNetMidBlock2DSimpleCrossAttn", up_block_types=(
                  "SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"), resnet_time_scale_shift="scale_shift", **UNET)  # fmt: skip
    movq = random(VQModel, 7, block_out_channels=(32, 32), down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
                  up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"), num_vq_embeddings=12, vq_embed_dim=4, latent_channels=4,
                  norm_num_groups=8, norm_type="spatial")  # fmt: skip
    scheduler = DDPMScheduler(beta_schedule="linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, steps_offset=1)
    return KandinskyV22Pipeline(unet=unet, scheduler=scheduler, movq=movq)


def adapter(unet, plus, seed=8):
    """The state of an IP-Adapter for `unet`: of embeddings or, plus, of hidden tokens."""
    torch.manual_seed(seed)
    context, inner, tokens = unet.config.cross_attention_dim, 64, 8
    if plus:
        state = {"latents": (1, tokens, inner), "proj_in.weight": (inner, HIDDEN), "proj_in.bias": (inner,),
                 "proj_out.weight": (context, inner), "proj_out.bias": (context,), "norm_out.weight": (context,),
                 "norm_out.bias": (context,)}  # fmt: skip
        for i in range(4):
            for name in ("0.norm1", "0.norm2", "1.0"):
                state |= {f"layers.{i}.{name}.weight": (inner,), f"layers.{i}.{name}.bias": (inner,)}
            state |= {f"layers.{i}.0.to_q.weight": (64, inner), f"layers.{i}.0.to_kv.weight": (128, inner),
                      f"layers.{i}.0.to_out.weight": (inner, 64), f"layers.{i}.1.1.weight": (4 * inner, inner),
                      f"layers.{i}.1.3.weight": (inner, 4 * inner)}  # fmt: skip
    else:
        state = {"proj.weight": (4 * context, WIDTH), "proj.bias": (4 * context,), "norm.weight": (context,), "norm.bias": (context,)}
    attention = {}
    for i, place in enumerate(name for name in unet.attn_processors if name.endswith("attn2.processor")):
        rows = unet.get_submodule(place.removesuffix(".processor")).to_k.weight.shape[0]
        attention |= {f"{2 * i + 1}.to_{which}_ip.weight": (rows, context) for which in "kv"}
    both = {"image_proj": state, "ip_adapter": attention}
    return {part: {key: torch.randn(shape) * (shape[-1] ** -0.5 if len(shape) > 1 else 0.3) for key, shape in shapes.items()}
            for part, shapes in both.items()}  # fmt: skip


def load(pipe, *kinds):
    """Loads IP-Adapters, "base" or "plus", in that order."""
    states = [adapter(pipe.unet, kind == "plus", 8 + i) for i, kind in enumerate(kinds)]
    pipe.load_ip_adapter(states, subfolder=[""] * len(states), weight_name=[""] * len(states), image_encoder_folder=None,
                         low_cpu_mem_usage=False)  # fmt: skip
    return pipe
