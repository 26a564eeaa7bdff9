"""Trains the U-Net with both IP-Adapters beside it, and writes the pipeline's folder.

    python unet.py BANK CHECKPOINT VAE CLIP FOLDER [--steps 4000]

Each step is for one adapter, base and Plus in turn. A sample has a prompt, a picture, both or neither, so that
guidance works with and without an adapter. The prediction is v (Salimans and Ho 2022, arXiv:2202.00512), and the last
step of the schedule is pure noise (Lin et al. 2023, arXiv:2305.08891).
"""
import json
import os
import shutil

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextModel

import adapters
from common import Average, Muon, Stage, learn, load_clip, load_vae, pixels, rate, training_arguments
from encode import Encoded

WIDTH, CONSTANT = 128, 12
# With a prompt, with a picture (2: the adapter is there but sees nothing), share of the samples.
MIXES = [(1, 1, 0.20), (1, 0, 0.25), (1, 2, 0.05), (0, 1, 0.38), (0, 2, 0.07), (0, 0, 0.05)]


def new_unet():
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=16, out_channels=16, block_out_channels=(96, 96), layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH, attention_head_dim=4)
    with torch.no_grad():  # channels that are constant at first: zero padding makes of them where a place is, without noise
        unet.conv_in.weight[-CONSTANT:] = 0
        unet.conv_in.bias[-CONSTANT:] = torch.tensor([1.0, -1.0, 0.0]).repeat(CONSTANT // 3)
    return adapters.install(unet)


def new_scheduler():
    return DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
                         set_alpha_to_one=True, prediction_type="v_prediction", rescale_betas_zero_snr=True,
                         timestep_spacing="trailing", steps_offset=1)


class World(torch.nn.Module):
    """What is trained."""

    def __init__(self):
        super().__init__()
        self.unet = new_unet()
        self.base = adapters.Adapter(adapters.Pooled(WIDTH, WIDTH), self.unet)
        self.plus = adapters.Adapter(adapters.Plus(WIDTH, WIDTH), self.unet)


class Towers:
    """The frozen CLIP. Prompts: 77 hidden tokens after the last normalisation."""

    def __init__(self, folder):
        self.model = load_clip(folder)
        self.end = self.model.config.text_config.eos_token_id
        self.empty = self.text(torch.tensor([[self.end - 1, self.end]]))
        self.unseen = self.hidden(torch.zeros(1, 3, 64, 64))

    def text(self, ids):
        ids = torch.nn.functional.pad(ids, (0, 77 - ids.shape[1]), value=self.end)
        return self.model.text_model(input_ids=ids).last_hidden_state

    def hidden(self, x):
        return self.model.vision_model(pixel_values=x, output_hidden_states=True).hidden_states[-2]


def conditions(rng, towers, world, plus, tokens, pooled, shown):
    """Context [n,77,W] and `ip` for a batch. shown: function of rows that gives the pictures."""
    n = len(tokens)
    which = rng.choice(len(MIXES), n, p=[m[2] for m in MIXES])
    text, image = (torch.tensor([m[i] for m in MIXES])[which] for i in (0, 1))
    context = towers.empty.repeat(n, 1, 1)
    context[text == 1] = towers.text(tokens[text == 1])
    rows = torch.nonzero(image == 1)[:, 0]
    if plus:
        x = towers.unseen.repeat(n, 1, 1)
        x[rows] = towers.hidden(pixels(shown(rows.numpy())))
    else:
        x = torch.zeros(n, pooled.shape[1])
        x[rows] = pooled[rows]
    adapter = world.plus if plus else world.base
    return context, (adapter, adapter.image_proj(x), (image > 0).float().view(-1, 1, 1))


def train(a):
    torch.manual_seed(a.seed)
    world, towers = World(), Towers(a.clip)
    average = Average(world, 0.9985)
    matrices = [p for n, p in world.named_parameters() if p.ndim in (2, 4) and not ("conv_in" in n or "conv_out" in n)]
    chosen = {id(p) for p in matrices}
    opt = Muon(matrices, [p for p in world.parameters() if id(p) not in chosen], a.rate)
    stage = Stage(a.checkpoint, {"world": world, "average": average, "opt": opt}, a.steps, a.seed,
                  until=a.until)
    print(f"{sum(p.numel() for p in world.unet.parameters())} parameters of the U-Net, "
          f"{sum(p.numel() for p in world.parameters())} with adapters", flush=True)
    encoded = Encoded(a.bank)
    scheduler = new_scheduler()
    for step, rng in stage:
        share = 0.95 if step < a.steps * 0.7 else 0.85  # of plain scenes
        z, pooled, ids, shown = encoded.batch(rng, a.batch, share)
        context, ip = conditions(rng, towers, world, step % 2 == 1, ids, pooled, shown)
        # Where things are is decided where there is hardly anything but noise: that is learned first, by itself.
        low = 1 - min(1.0, max(0.1, 0.1 + 0.9 * (step / a.steps - 0.14) / 0.18))
        u = ((np.arange(a.batch) + rng.random(a.batch)) / a.batch) ** (0.5 + 0.5 * step / a.steps)
        t = torch.from_numpy((low + (1 - low) * u) * 1000).long().clamp(max=999)
        t = t[torch.from_numpy(rng.permutation(a.batch))]
        noise = torch.randn_like(z)
        noisy = scheduler.add_noise(z, noise, t)
        said = world.unet(noisy, t, context, cross_attention_kwargs={"ip": ip}).sample
        loss = torch.nn.functional.mse_loss(said, scheduler.get_velocity(z, noise, t))
        learn(loss, world, opt, average, step, a.rate * rate(step, a.steps, 200, 0.7))
        stage.log(every=a.log, loss=loss)
    export(average.into(world), a.vae, a.clip, a.folder)


def halves(module, prefix=""):
    return {prefix + k: v.detach().half().contiguous() for k, v in module.state_dict().items()}


def export(world, vae, clip, folder):
    """The folder of a StableDiffusionPipeline, and the adapters in it."""
    new = folder + ".part"
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    plain = UNet2DConditionModel.from_config(world.unet.config)
    plain.load_state_dict(world.unet.state_dict())
    plain.half().save_pretrained(f"{new}/unet")
    load_vae(vae).half().save_pretrained(f"{new}/vae")
    whole = load_clip(clip)
    text = CLIPTextModel(whole.config.text_config)
    text.load_state_dict({k.removeprefix("text_model."): v for k, v in whole.state_dict().items()
                          if k.startswith("text_model.")})
    text.half().save_pretrained(f"{new}/text_encoder")
    new_scheduler().save_pretrained(f"{new}/scheduler")
    os.makedirs(f"{new}/tokenizer")
    for name in ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(f"{clip}/{name}", f"{new}/tokenizer/{name}")
    with open(f"{new}/model_index.json", "w") as f:
        json.dump({"_class_name": "StableDiffusionPipeline", "feature_extractor": [None, None],
                   "image_encoder": [None, None], "requires_safety_checker": False, "safety_checker": [None, None],
                   "scheduler": ["diffusers", "DDIMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
                   "tokenizer": ["transformers", "CLIPTokenizer"], "unet": ["diffusers", "UNet2DConditionModel"],
                   "vae": ["diffusers", "AutoencoderTiny"]}, f, indent=1)
    for name in ("base", "plus"):
        adapter = getattr(world, name)
        save_file({**halves(adapter.image_proj, "image_proj."), **halves(adapter.ip_adapter, "ip_adapter.")},
                  f"{new}/ip-adapter{'-plus' if name == 'plus' else ''}.safetensors")
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(new, folder)


if __name__ == "__main__":
    p = training_arguments(__doc__, "bank", "checkpoint", "vae", "clip", "folder", steps=4000, batch=64, rate=2e-3)
    p.add_argument("--until", type=int, default=0, help="end the stage here; the same command without it goes on")
    train(p.parse_args())
