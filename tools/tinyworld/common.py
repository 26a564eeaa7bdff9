"""What every training here needs: an optimizer, a schedule, checkpoints, a log."""
import argparse
import math
import os
import random
import shutil
import signal
import time
import warnings

import numpy as np
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore", message=".*accelerate.*")

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)  # of CLIP's pixels
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)


def pictures(bank, rows):
    """[n,3,64,64] from 0 to 1."""
    return torch.from_numpy(np.array(bank[rows])).permute(0, 3, 1, 2).float() / 255


def load_vae(folder):
    from diffusers import AutoencoderTiny

    return AutoencoderTiny.from_pretrained(folder, low_cpu_mem_usage=False).float().eval().requires_grad_(False)


def load_clip(folder):
    from transformers import CLIPModel

    return CLIPModel.from_pretrained(folder).float().eval().requires_grad_(False)


def pixels(pictures01):
    """What the image tower takes."""
    return (pictures01 - MEAN) / STD


class Muon(torch.optim.Optimizer):
    """Momentum, made orthogonal, for matrices (Jordan et al. 2024); AdamW for what is no matrix.

    Matrices of one shape are worked on together. The update's size is that of AdamW's (Liu et al. 2025,
    arXiv:2502.16982), so that one learning rate fits both.
    """

    def __init__(self, matrices, others, lr, momentum=0.95, decay=0.01):
        super().__init__([{"params": list(matrices), "muon": True}, {"params": list(others), "muon": False}],
                         {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self):
        for g in self.param_groups:
            live = [p for p in g["params"] if p.grad is not None]
            if g["muon"]:
                shapes = {}
                for p in live:
                    shapes.setdefault((p.shape[0], p[0].numel()), []).append(p)
                for ps in shapes.values():
                    self._muon(ps, g)
            else:
                for p in live:
                    self._adam(p, g)

    def _muon(self, ps, g):
        n, k = ps[0].shape[0], ps[0][0].numel()
        for p in ps:
            m = self.state[p].setdefault("momentum", torch.zeros_like(p))
            m.lerp_(p.grad, 1 - g["momentum"])
        x = torch.stack([torch.lerp(p.grad, self.state[p]["momentum"], g["momentum"]).reshape(n, k) for p in ps])
        tall = n > k
        x = x.mT if tall else x
        x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
        for _ in range(5):
            a = x @ x.mT
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
        x = (x.mT if tall else x) * (0.2 * math.sqrt(max(n, k)))
        for p, u in zip(ps, x):
            p.mul_(1 - g["lr"] * g["decay"]).add_(u.reshape(p.shape), alpha=-g["lr"])

    def _adam(self, p, g):
        s = self.state[p]
        if not s:
            s.update(n=0, m=torch.zeros_like(p), v=torch.zeros_like(p))
        s["n"] += 1
        s["m"].lerp_(p.grad, 0.1)
        s["v"].mul_(0.98).addcmul_(p.grad, p.grad, value=0.02)
        scale = math.sqrt(1 - 0.98 ** s["n"]) / (1 - 0.9 ** s["n"])
        p.addcdiv_(s["m"], s["v"].sqrt().add_(1e-8), value=-g["lr"] * scale)


def rate(step, steps, warm=100, flat=0.6):
    """Share of the learning rate: up, flat, then down in a line."""
    return min((step + 1) / warm, 1, max(0.0, (1 - step / steps) / (1 - flat)))


class Stage:
    """A training that goes on where it stopped; SIGTERM stops it after the step at hand.

    parts: name -> object with state_dict. until: a part of the stage ends here, with a copy of the checkpoint.
    Everything random comes from generators seeded by the step, so a stage that was stopped gives what it would have
    given.
    """

    def __init__(self, path, parts, steps, seed=1, every=180, until=0):
        self.path, self.parts, self.steps, self.seed, self.every = path, parts, steps, seed, every  # every: seconds
        self.step, self.began, self.saved, self.sums = 0, time.time(), time.time(), {}
        self.stopped, self.until = False, until or steps
        torch.set_flush_denormal(True)
        if os.path.exists(path):
            state = torch.load(path, weights_only=True)
            self.step = state["step"]
            for name, part in parts.items():
                part.load_state_dict(state[name])
            print(f"{path}: goes on at step {self.step}", flush=True)

    def _stop(self, *_):
        self.stopped = True

    def __iter__(self):
        signal.signal(signal.SIGTERM, self._stop)
        while self.step < self.steps:
            if self.stopped:
                self.save()
                raise SystemExit(f"{self.path}: stopped at step {self.step}")
            random.seed(self.seed * 1000003 + self.step)
            torch.manual_seed(self.seed * 1000003 + self.step)
            yield self.step, np.random.default_rng([self.seed, self.step])
            self.step += 1
            if time.time() - self.saved > self.every or self.step == self.until:
                self.save()
            if self.step == self.until < self.steps:
                shutil.copy(self.path, f"{self.path.removesuffix('.pt')}-{self.step}.pt")
                raise SystemExit

    def save(self):
        torch.save({"step": self.step, **{n: p.state_dict() for n, p in self.parts.items()}}, self.path + ".part")
        os.rename(self.path + ".part", self.path)
        self.saved = time.time()

    def log(self, every=100, **values):
        for k, v in values.items():
            self.sums.setdefault(k, []).append(float(torch.as_tensor(v).detach()))
        if (self.step + 1) % every == 0:
            means = "  ".join(f"{k} {np.mean(v):.4f}" for k, v in self.sums.items())
            speed = (time.time() - self.began) / every
            print(f"{time.strftime('%H:%M:%S')}  step {self.step + 1} of {self.steps}  {means}  {speed:.3f} s/step",
                  flush=True)
            self.sums, self.began = {}, time.time()


def learn(loss, module, opt, average, step, lr):
    """One step down the gradient, which is clipped, and into the average."""
    opt.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    for g in opt.param_groups:
        g["lr"] = lr
    opt.step()
    average.update(module, step)


def training_arguments(doc, *names, steps, batch, rate, log=100):
    """The parser of a training: files and folders by position, and what all trainings can be told."""
    p = argparse.ArgumentParser(description=doc.split("\n")[0])
    for name in names:
        p.add_argument(name)
    p.add_argument("--steps", type=int, default=steps)
    p.add_argument("--batch", type=int, default=batch)
    p.add_argument("--rate", type=float, default=rate)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--log", type=int, default=log)
    return p


class Average(torch.nn.Module):
    """An exponential average of a module's parameters."""

    def __init__(self, module, decay=0.999):
        super().__init__()
        self.decay, self.kept = decay, {n: p.detach().clone() for n, p in module.named_parameters()}

    @torch.no_grad()
    def update(self, module, step):
        d = min(self.decay, (step + 1) / (step + 10))
        mine, theirs = zip(*((self.kept[n], p.detach()) for n, p in module.named_parameters()))
        torch._foreach_lerp_(list(mine), list(theirs), 1 - d)

    def state_dict(self):
        return dict(self.kept)

    def load_state_dict(self, state):
        for n, v in state.items():
            self.kept[n].copy_(v)

    @torch.no_grad()
    def into(self, module):
        for n, p in module.named_parameters():
            p.copy_(self.kept[n])
        return module
