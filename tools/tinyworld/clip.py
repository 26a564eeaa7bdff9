"""Trains the world's CLIP and writes it in Hugging Face's layout.

    python clip.py BANK CHECKPOINT FOLDER [--steps 1600]

The loss is CLIP's. Beside it stand others whose heads are thrown away: one on the pooled embedding says for each cell of
a 6x6 grid whether an object's centre is there and what it is, a linear one gives an 8x8 thumbnail of the picture, without
which the embedding hardly knows where things are, and one on the hidden tokens before the last block says what each
patch shows.
"""
import json
import os

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPConfig, CLIPModel

import bank
import captions
import scenes
from common import Average, MEAN, Muon, STD, Stage, learn, pictures, pixels, rate, training_arguments

WIDTH, GRID, PATCHES = 128, 6, 8
NS, NC, NT = len(scenes.SHAPES), len(scenes.COLOURS), len(scenes.TEXTURES)


def config():
    vocab = len(captions.vocabulary()[0])
    both = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": 2, "hidden_act": "gelu",
            "projection_dim": WIDTH}
    return CLIPConfig(
        text_config={**both, "num_hidden_layers": 3, "vocab_size": vocab, "max_position_embeddings": 77,
                     "bos_token_id": vocab - 2, "eos_token_id": vocab - 1, "pad_token_id": vocab - 1},
        vision_config={**both, "num_hidden_layers": 4, "image_size": 64, "patch_size": 8}, projection_dim=WIDTH)


class Heads(torch.nn.Module):
    """Thrown away after training."""

    def __init__(self):
        super().__init__()
        self.up = torch.nn.Linear(WIDTH, 256)
        self.cells = torch.nn.Linear(256, GRID * GRID * (1 + NS + NC + 3))
        self.ground = torch.nn.Linear(256, len(scenes.BACKGROUNDS))
        self.patch = torch.nn.Linear(WIDTH, NS + 1 + NC + 1)
        self.thumbnail = torch.nn.Linear(WIDTH, 3 * PATCHES * PATCHES)

    def forward(self, z, hidden):
        h = F.gelu(self.up(z))
        return (self.cells(h).view(-1, GRID * GRID, 1 + NS + NC + 3), self.ground(h), self.patch(hidden),
                self.thumbnail(z))


def targets(s):
    """Of a batch of scenes: cell, whether there is an object, shape, colour, place and size; shape and colour in each
    patch (the number after the last: background)."""
    n = len(s["count"])
    live = np.arange(scenes.MOST)[None] < s["count"][:, None]
    cx, cy = (np.clip((s[f] * GRID).astype(int), 0, GRID - 1) for f in "xy")
    fine = np.stack([s["x"] * GRID - cx - 0.5, s["y"] * GRID - cy - 0.5, s["r"] * 4 - 0.8], -1)
    at = (np.arange(PATCHES) + 0.5) / PATCHES
    shape, colour = np.full((n, PATCHES, PATCHES), NS), np.full((n, PATCHES, PATCHES), NC)
    for k in range(scenes.MOST):
        near = np.hypot(at[None, None, :] - s["x"][:, k, None, None], at[None, :, None] - s["y"][:, k, None, None])
        inside = (near < s["r"][:, k, None, None]) & live[:, k, None, None]
        shape = np.where(inside, s["shape"][:, k, None, None], shape)
        colour = np.where(inside, s["colour"][:, k, None, None], colour)
    t = torch.from_numpy
    return {"live": t(live), "cell": t(cy * GRID + cx).long(), "shape": t(s["shape"]).long(),
            "colour": t(s["colour"]).long(), "fine": t(fine).float(), "ground": t(s["ground_colour"]).long(),
            "patch_shape": t(shape.reshape(n, -1)).long(), "patch_colour": t(colour.reshape(n, -1)).long()}


def aids(heads, z, hidden, x, t):
    cells, ground, patch, thumbnail = heads(z, hidden)
    row, k = torch.nonzero(t["live"], as_tuple=True)
    there = torch.zeros(cells.shape[:2])
    there[row, t["cell"][row, k]] = 1
    c = cells[row, t["cell"][row, k]]
    pooled = F.binary_cross_entropy_with_logits(cells[..., 0], there) * 8
    pooled += F.cross_entropy(c[:, 1:1 + NS], t["shape"][row, k]) + F.cross_entropy(
        c[:, 1 + NS:1 + NS + NC], t["colour"][row, k])
    pooled += F.smooth_l1_loss(c[:, 1 + NS + NC:], t["fine"][row, k]) * 4 + F.cross_entropy(ground, t["ground"])
    small = F.avg_pool2d(x, x.shape[-1] // PATCHES).flatten(1)
    seen = F.mse_loss(thumbnail, small) / small.var()
    local = F.cross_entropy(patch[..., :NS + 1].flatten(0, 1), t["patch_shape"].flatten()) + F.cross_entropy(
        patch[..., NS + 1:].flatten(0, 1), t["patch_colour"].flatten())
    return pooled, local, seen


def embed_texts(model, ids, groups=4):
    """Not normalised. ids: [n,T], padded with the end token. Short texts are not carried along with long ones."""
    lengths = (ids != model.config.text_config.eos_token_id).sum(1) + 1
    parts, order = [], lengths.argsort()
    for rows in order.chunk(groups):
        part = ids[rows, :int(lengths[rows[-1]])]
        parts.append(model.text_projection(model.text_model(input_ids=part).pooler_output))
    return torch.cat(parts)[order.argsort()]


def towers(model, x, ids):
    """Embeddings of pictures and texts, not normalised; the image tower's hidden tokens before the last block."""
    v = model.vision_model(pixel_values=x, output_hidden_states=True)
    return model.visual_projection(v.pooler_output), embed_texts(model, ids), v.hidden_states[-2]


def retrieval(model, x, ids, same):
    """Share of pictures that find a caption, and of captions that find a picture. same: [n,n], what counts."""
    with torch.no_grad():
        zi, zt, _ = towers(model, x, ids)
    score = F.normalize(zi, dim=-1) @ F.normalize(zt, dim=-1).T
    at = torch.arange(len(x))
    return (same[at, score.argmax(1)].float().mean().item(), same[score.argmax(0), at].float().mean().item())


def fresh_retrieval(model, seed, rounds=8, n=128):
    """Mean over rounds of 128 fresh plain scenes, whole captions in any wording; equal captions count as hits."""
    out = []
    for r in range(rounds):
        rng = np.random.default_rng([77, seed, r])
        s = scenes.sample(rng, n, True)
        texts = [captions.caption(rng, s, i, whole=True) for i in range(n)]
        same = torch.tensor([[a == b for b in texts] for a in texts])
        x = pixels(torch.from_numpy(scenes.draw(s)).permute(0, 3, 1, 2).float() / 255)
        out.append(retrieval(model, x, torch.from_numpy(captions.Words()(texts)), same))
    return np.mean(out, 0).tolist()


def export(model, folder):
    model.half().save_pretrained(folder)
    captions.write_tokenizer(folder)
    with open(f"{folder}/preprocessor_config.json", "w") as f:
        json.dump({"image_processor_type": "CLIPImageProcessor", "do_resize": True, "size": {"shortest_edge": 64},
                   "resample": 3, "do_center_crop": True, "crop_size": {"height": 64, "width": 64},
                   "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "do_convert_rgb": True,
                   "image_mean": MEAN.flatten().tolist(), "image_std": STD.flatten().tolist()}, f, indent=1)


def families(s):
    """Rows of the plain scenes, those alike in background, number of objects and the first one's colour and shape
    together."""
    rows = np.flatnonzero(s["plain"])
    key = ((s["ground_colour"][rows].astype(int) * 16 + s["colour"][rows, 0]) * 16 + s["shape"][rows, 0]) * 4
    key += s["count"][rows]
    return rows[np.argsort(key, kind="stable")]


def choose(rng, alike, plain, all, n, hard, group=8):
    """Rows of a batch, six of ten plain. hard: share that comes in groups of scenes that only place and size, or the
    second object, tell apart."""
    groups = int(n * hard) // group
    close = alike[(rng.integers(0, len(alike) - group, groups)[:, None] + np.arange(group)).ravel()]
    few = max(int(n * 0.6) - len(close), 0)
    return np.sort(np.concatenate([close, rng.integers(0, plain, few), rng.integers(plain, all, n - few - len(close))]))


def train(a):
    torch.manual_seed(a.seed)
    model, heads = CLIPModel(config()), Heads()
    average = Average(model, 0.998)
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embedding" not in n]
    chosen = {id(p) for p in matrices}
    others = [p for p in [*model.parameters(), *heads.parameters()] if id(p) not in chosen]
    opt = Muon(matrices, others, a.rate)
    stage = Stage(a.checkpoint, {"model": model, "heads": heads, "average": average, "opt": opt}, a.steps, a.seed)
    drawn, s, tokens = bank.load(a.bank)
    plain, alike = int(s["plain"].sum()), families(s)
    for step, rng in stage:
        rows = choose(rng, alike, plain, len(drawn), a.batch, 0 if step < 0.55 * a.steps else 0.6)
        ids = torch.from_numpy(tokens[rows, rng.integers(0, bank.WORDINGS, len(rows))].astype(np.int64))
        x = pixels(pictures(drawn, rows))
        zi, zt, hidden = towers(model, x, ids)
        scale = model.logit_scale.exp().clamp(max=100)
        score = scale * F.normalize(zi, dim=-1) @ F.normalize(zt, dim=-1).T
        at = torch.arange(a.batch)
        score = score.masked_fill((ids[:, None] == ids[None]).all(-1) & (at[:, None] != at), -1e4)  # the same caption
        contrast = (F.cross_entropy(score, at) + F.cross_entropy(score.T, at)) / 2
        pooled, local, seen = aids(heads, zi, hidden[:, 1:], x, targets(scenes.take(s, rows)))
        loss = contrast + a.aid * (pooled + local) * max(0.5, 1 - step / a.steps) + a.seen * seen
        learn(loss, model, opt, average, step, a.rate * rate(step, a.steps))
        stage.log(every=a.log, contrast=contrast, pooled=pooled, local=local, seen=seen, scale=scale)
        if (step + 1) % (10 * a.log) == 0:
            kept = CLIPModel(config())
            print("retrieval, pictures and texts:", fresh_retrieval(average.into(kept).eval(), 1, 4), flush=True)
    model = average.into(model).eval()
    print("retrieval, pictures and texts:", fresh_retrieval(model, 1), flush=True)
    export(model, a.folder + ".part")
    os.rename(a.folder + ".part", a.folder)


if __name__ == "__main__":
    p = training_arguments(__doc__, "bank", "checkpoint", "folder", steps=1600, batch=256, rate=2e-3)
    p.add_argument("--aid", type=float, default=0.3)
    p.add_argument("--seen", type=float, default=20, help="weight of the thumbnail")
    train(p.parse_args())
