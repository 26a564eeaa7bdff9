"""Captions of scenes, in several wordings, and the small vocabulary they need."""
import json
import os

import numpy as np

import scenes

OBJECTS = ["a {size} {texture} {colour} {shape} at the {place}", "{size} {texture} {colour} {shape}, {place}",
           "a {texture} {colour} {shape} that is {size} in the {place}",
           "at the {place} a {size} {texture} {colour} {shape}",
           "there is a {size} {texture} {colour} {shape} at the {place}"]
GROUNDS = ["{objects} on a {ground} background", "{objects} on {ground}", "{ground} background, {objects}",
           "on {ground}: {objects}", "a picture of {objects} before a {ground} background"]
WORDS = ("a at the in on of and that is there picture before background to left right top bottom center above below "
         "behind front tilted gradient , : . an with between moves from").split()


def full(s, i, k):
    """What can be said of object k of scene i."""
    shape = int(s["shape"][i, k])
    askew = bool(scenes.turned(shape, s["angle"][i, k]))
    texture = scenes.TEXTURES[s["texture"][i, k]] if s["texture"][i, k] else ""
    return {"shape": scenes.SHAPES[shape], "colour": scenes.COLOUR_NAMES[s["colour"][i, k]],
            "size": scenes.size_word(s["r"][i, k]), "place": scenes.place(s["x"][i, k], s["y"][i, k]),
            "texture": " ".join(w for w in ("tilted" if askew else "", texture) if w)}


def relation(s, i, a, b):
    """How object a lies to object b."""
    dx, dy = (float(s[f][i, a] - s[f][i, b]) for f in "xy")
    if np.hypot(dx, dy) < 0.8 * max(s["r"][i, a], s["r"][i, b]):
        return "in front of" if a > b else "behind"
    if abs(dx) > abs(dy):
        return "to the left of" if dx < 0 else "to the right of"
    return "above" if dy < 0 else "below"


def ground(s, i):
    kind = scenes.GROUNDS[s["ground"][i]]
    return ("" if kind == "flat" else kind + " ") + scenes.GROUND_NAMES[s["ground_colour"][i]]


def caption(rng, s, i, whole=False):
    """One caption. whole: size, place and background are named; else each may be left out."""
    order = rng.permutation(int(s["count"][i]))
    drop = (lambda p: False) if whole else (lambda p: rng.random() < p)
    no_size, no_place, no_ground, no_texture = drop(0.3), drop(0.15), drop(0.3), drop(0.3)
    related = not whole and len(order) > 1 and rng.random() < 0.4
    wording = OBJECTS[rng.integers(len(OBJECTS))]
    said = []
    for k in order:
        f = full(s, i, k)
        if no_size:
            f["size"] = ""
        if no_texture:
            f["texture"] = ""
        form = "a {size} {texture} {colour} {shape}" if no_place or related else wording
        said.append(form.replace("that is {size} ", "").format(**f) if no_size else form.format(**f))
    if related:
        said[:2] = [f"{said[0]} {relation(s, i, order[0], order[1])} {said[1]}"]
    text = " and ".join(said)
    if not no_ground:
        text = GROUNDS[rng.integers(len(GROUNDS))].format(objects=text, ground=ground(s, i))
    return " ".join(text.replace(" ,", ",").split()).replace("a orange", "an orange").replace("a olive", "an olive")


def _bytes():
    """The characters that stand for the 256 bytes, as in GPT-2's vocabulary."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in kept]
    return [chr(b) for b in kept] + [chr(256 + i) for i in range(len(rest))]


def _pieces(word, merges):
    """Byte-pair encoding of a word."""
    parts = [*word[:-1], word[-1] + "</w>"]
    for a, b in merges:
        i = 0
        while i < len(parts) - 1:
            if (parts[i], parts[i + 1]) == (a, b):
                parts[i:i + 2] = [a + b]
            i += 1
    return parts


def vocabulary():
    """A reduced vocabulary in CLIP's form: every word of the world is one token, any other text is spelled."""
    words = sorted({w for text in [*WORDS, *scenes.SHAPES, *scenes.COLOURS, *scenes.BACKGROUNDS, *scenes.TEXTURES,
                                   *scenes.GROUNDS, *scenes.SIZES] for w in text.split()})
    tokens = _bytes()
    tokens += [t + "</w>" for t in tokens]
    merges = []
    for word in words:
        while len(parts := _pieces(word, merges)) > 1:
            merges.append((parts[0], parts[1]))
    tokens += ["".join(m) for m in merges]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return {t: i for i, t in enumerate(tokens)}, merges, words


def write_tokenizer(folder):
    """vocab.json, merges.txt, tokenizer.json and their configs; returns transformers' tokenizer."""
    from transformers import CLIPTokenizerFast

    vocab, merges, words = vocabulary()
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/vocab.json", "w") as f:
        json.dump(vocab, f, ensure_ascii=False)
    with open(f"{folder}/merges.txt", "w") as f:
        f.write("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    t = CLIPTokenizerFast(vocab=vocab, merges=[tuple(m) for m in merges], model_max_length=77,
                          pad_token="<|endoftext|>")
    t.save_pretrained(folder)
    for w in words:
        n = len(t(w)["input_ids"])
        if n != 3:
            raise ValueError(f"{w}: {n - 2} tokens, expected 1")
    return t


class Words:
    """A fast tokenizer for the world's own captions: the same numbers as transformers' tokenizer gives."""

    def __init__(self):
        vocab, _, _ = vocabulary()
        self.ids = {t[:-4]: i for t, i in vocab.items() if t.endswith("</w>")}
        self.begin, self.end = len(vocab) - 2, len(vocab) - 1

    def __call__(self, texts, length=None):
        """int64 [n, longest or length], padded with the end token."""
        rows = [[self.ids[w] for w in t.replace(",", " ,").replace(":", " :").split()] for t in texts]
        longest = length or max(map(len, rows)) + 2
        out = np.full((len(rows), longest), self.end, np.int64)
        out[:, 0] = self.begin
        for i, r in enumerate(rows):
            out[i, 1:1 + len(r)] = r[:longest - 2]
        return out
