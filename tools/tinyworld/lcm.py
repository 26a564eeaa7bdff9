"""Distils the U-Net to four steps, as a LoRA (latent consistency: Luo et al. 2023, arXiv:2310.04378, 2311.05556).

    python lcm.py BANK CHECKPOINT CLIP UNET_CHECKPOINT FILE [--steps 1500]

A point of the path and the point that one guided DDIM step of the teacher finds before it must lead to the same
picture. The guidance goes into the LoRA: it is used without (--guidance 1, --sampler lcm).
"""

import torch
from safetensors.torch import save_file

from common import Average, Muon, Stage, learn, rate, training_arguments
from encode import Encoded
from unet import Towers, World, conditions, new_scheduler

RANK, GRID = 8, 20  # GRID: training steps in one step of the teacher
PARTS = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "conv2",
         "time_emb_proj", "conv_shortcut", "conv")


class Lora(torch.nn.Module):
    """Low-rank additions to the U-Net's weights."""

    def __init__(self, unet):
        super().__init__()
        self.names = [n for n, p in unet.named_parameters() if p.ndim > 1 and n.removesuffix(".weight").endswith(PARTS)]
        self.down, self.up = torch.nn.ParameterList(), torch.nn.ParameterList()
        for name in self.names:
            w = unet.get_parameter(name)
            self.down.append(torch.nn.Parameter(torch.randn(RANK, *w.shape[1:]) / w[0].numel() ** 0.5))
            self.up.append(torch.nn.Parameter(torch.zeros(w.shape[0], RANK, *[1] * (w.ndim - 2))))

    def forward(self, unet):
        """The U-Net's weights with the additions."""
        return {n: unet.get_parameter(n) + (u.flatten(1) @ d.flatten(1)).view_as(unet.get_parameter(n))
                for n, d, u in zip(self.names, self.down, self.up)}

    def tensors(self):
        out = {}
        for n, d, u in zip(self.names, self.down, self.up):
            stem = "unet." + n.removesuffix(".weight")
            out[stem + ".lora_A.weight"] = d.detach().half().contiguous()
            out[stem + ".lora_B.weight"] = u.detach().half().contiguous()
        return out


def picture_of(v, z, root, rest):
    """The noiseless latents that a prediction means."""
    return root * z - rest * v


def step_back(x0, v, z, root, rest, root_to, rest_to):
    """DDIM's step. v: the prediction that x0 came from."""
    return root_to * x0 + rest_to * (root * v + rest * z)


def boundary(t):
    """Consistency's shares of the point itself and of the prediction, as LCMScheduler has them."""
    t = t.float() * 10
    return (0.25 / (t ** 2 + 0.25)).view(-1, 1, 1, 1), (t / (t ** 2 + 0.25) ** 0.5).view(-1, 1, 1, 1)


def train(a):
    torch.manual_seed(a.seed)
    world, towers = World(), Towers(a.clip)
    state = torch.load(a.unet, weights_only=True)["average"]
    for n, p in world.named_parameters():
        p.data.copy_(state[n])
    world.requires_grad_(False).eval()
    lora = Lora(world.unet)
    average = Average(lora, 0.995)
    opt = Muon([], lora.parameters(), a.rate)
    stage = Stage(a.checkpoint, {"lora": lora, "average": average, "opt": opt}, a.steps, a.seed)
    encoded = Encoded(a.bank)
    scheduler = new_scheduler()
    alphas = torch.cat([torch.ones(1), scheduler.alphas_cumprod]).view(-1, 1, 1, 1)  # by time + 1

    def predict(z, t, context, ip, weights=None):
        words = {"cross_attention_kwargs": {"ip": ip}}
        if weights is None:
            return world.unet(z, t, context, **words).sample
        return torch.func.functional_call(world.unet, weights, (z, t, context), words).sample

    for step, rng in stage:
        z, pooled, ids, shown = encoded.batch(rng, a.batch, 0.85)
        t = torch.from_numpy(rng.integers(1, 1000 // GRID + 1, a.batch) * GRID - 1)
        before = (t - GRID).clamp(min=-1)
        (root, rest), (root_to, rest_to) = ((alphas[u + 1].sqrt(), (1 - alphas[u + 1]).sqrt()) for u in (t, before))
        with torch.no_grad():
            context, ip = conditions(rng, towers, world, step % 2 == 1, ids, pooled, shown)
            adapter, seen, scale = ip
            nothing = towers.unseen if step % 2 else torch.zeros(1, pooled.shape[1])
            blind = (adapter, adapter.image_proj(nothing).expand_as(seen), scale)
            noisy = root * z + rest * torch.randn_like(z)
            v = predict(noisy, t, context, ip)
            u = predict(noisy, t, towers.empty.expand_as(context), blind)
            v = u + a.guidance * (v - u)
            back = step_back(picture_of(v, noisy, root, rest), v, noisy, root, rest, root_to, rest_to)
            weights = lora(world.unet)
            skip, out = boundary(before.clamp(min=0))
            at = picture_of(predict(back, before.clamp(min=0), context, ip, weights), back, root_to, rest_to)
            target = torch.where((before < 0).view(-1, 1, 1, 1), back, skip * back + out * at)
        skip, out = boundary(t)
        v = predict(noisy, t, context, ip, lora(world.unet))
        mine = skip * noisy + out * picture_of(v, noisy, root, rest)
        loss = (((mine - target).square() + 0.1 ** 2).sqrt() - 0.1).mean()
        learn(loss, lora, opt, average, step, a.rate * rate(step, a.steps, 50))
        stage.log(every=a.log, loss=loss)
    save_file(average.into(lora).tensors(), a.file)


if __name__ == "__main__":
    p = training_arguments(__doc__, "bank", "checkpoint", "clip", "unet", "file", steps=1500, batch=32, rate=1e-3, log=50)
    p.add_argument("--guidance", type=float, default=2.5)
    train(p.parse_args())
