"""inbetween.diffusers against the pipelines called by hand."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
tiny = pytest.importorskip("tiny_pipelines")

import inbetween  # noqa: E402
from inbetween import errors  # noqa: E402
from inbetween.diffusers import film, frames, prompts  # noqa: E402

STEPS = dict(num_inference_steps=2)
SIZED = dict(STEPS, height=tiny.SIZE, width=tiny.SIZE)  # Kandinsky has a size of its own, whatever its U-Net
BATCH_STEPS = 2  # of 8 bits, that a batch may differ from single rows

torch.manual_seed(20)
POOLED = torch.randn(3, tiny.WIDTH)
NONE = torch.randn(1, tiny.WIDTH)
HIDDEN = torch.randn(3, tiny.TOKENS, tiny.HIDDEN)
NO_HIDDEN = torch.randn(1, tiny.TOKENS, tiny.HIDDEN)
PLUS = {"hidden_states": HIDDEN, "negative_hidden_states": NO_HIDDEN}


@pytest.fixture(autouse=True)
def nothing_prints(capfd):
    yield
    assert capfd.readouterr() == ("", "")


def noise(seed=1):
    return torch.Generator().manual_seed(seed)


def levels(pictures):
    return np.stack([np.asarray(picture).astype(int) for picture in pictures])


def by_hand(pipe, calls, **more):
    """One picture a call, each with the noise of seed 1."""
    pipe.set_progress_bar_config(disable=True)
    made = levels(pipe(generator=noise(), **call, **more).images[0] for call in calls)
    pipe.set_progress_bar_config()
    assert all(np.abs(a - b).max() > 4 for a, b in zip(made, made[1:]))  # the rows do lead
    return made


def same(pipe, way, expected, **call):
    """Row by row, and in batches of two."""
    np.testing.assert_array_equal(levels(frames(pipe, way, seed=1, **call)), expected)
    seen = []
    off = np.abs(levels(frames(pipe, way, seed=1, batch=2, progress=seen.append, **call)) - expected).max()
    assert off <= BATCH_STEPS
    assert seen == [(2, 3), (3, 3)]


def test_unclip():
    pipe = tiny.unclip()
    for level in (0, 300):
        same(pipe, POOLED, by_hand(pipe, [dict(prompt="", image_embeds=row[None], noise_level=level) for row in POOLED], **STEPS),
             noise_level=level, **STEPS)  # fmt: skip
    said = dict(prompt="a red ball", negative_prompt="blue", guidance_scale=4.0)
    same(pipe, POOLED, by_hand(pipe, [dict(image_embeds=row[None], **said) for row in POOLED], **STEPS), **said, **STEPS)
    unled = dict(guidance_scale=1.0)
    same(pipe, POOLED, by_hand(pipe, [dict(image_embeds=row[None], prompt="") for row in POOLED], **STEPS, **unled), **STEPS, **unled)


def test_unclip_without_noise(monkeypatch):
    pipe, seen = tiny.unclip(), []
    real = pipe.unet.forward

    def forward(*arguments, class_labels, **more):
        seen.append(class_labels)
        return real(*arguments, class_labels=class_labels, **more)

    pipe.unet.forward = forward
    for level in (0, None):
        frames(pipe, POOLED[:1], seed=1, noise_level=level, num_inference_steps=1)
    noisy, plain = (labels[1, : tiny.WIDTH] for labels in seen)
    assert torch.equal(plain, POOLED[0])
    assert torch.equal(seen[0][:, tiny.WIDTH :], seen[1][:, tiny.WIDTH :])  # what says that it is level 0
    # docs/diffusers.md: noise of deviation 0.0064 in the normalised space
    deviation = float((1 - pipe.image_noising_scheduler.alphas_cumprod[0]).sqrt())
    assert deviation == pytest.approx(0.0064, abs=5e-5)
    moved = ((noisy - plain) / pipe.image_normalizer.std[0]).std()
    assert 0.5 * deviation < moved < 1.5 * deviation
    assert "noise_image_embeddings" not in vars(pipe) and "_progress_bar_config" not in vars(pipe)


def test_kandinsky():
    pipe, way = tiny.kandinsky(), {"image_embeds": POOLED, "negative_image_embeds": NONE}
    same(pipe, way, by_hand(pipe, [dict(image_embeds=row[None], negative_image_embeds=NONE) for row in POOLED], **SIZED), **SIZED)
    with pytest.raises(errors.MismatchError, match="negative_image_embeds"):
        frames(pipe, POOLED, **SIZED)
    unled = dict(SIZED, guidance_scale=1.0)
    same(pipe, POOLED, by_hand(pipe, [dict(image_embeds=row[None], negative_image_embeds=NONE) for row in POOLED], **unled), **unled)


def pair(row, none=None):
    """[2, 1, ...], the negative one first"""
    return torch.stack([torch.zeros_like(row) if none is None else none, row])[:, None]


@pytest.mark.parametrize("make", [tiny.sd, tiny.sdxl, tiny.ancestral])
def test_ip_adapters(make):
    base = [dict(prompt="a ball", ip_adapter_image_embeds=[pair(row)]) for row in POOLED]
    plus = [dict(prompt="a ball", ip_adapter_image_embeds=[pair(row, NO_HIDDEN[0])]) for row in HIDDEN]
    pipe = tiny.load(make(), "base")
    same(pipe, POOLED, by_hand(pipe, base, **STEPS), prompt="a ball", **STEPS)
    same(pipe, {"image_embeds": POOLED, "negative_image_embeds": NONE}, by_hand(pipe, base, **STEPS), prompt="a ball", **STEPS)
    single = [dict(prompt="", ip_adapter_image_embeds=[row[None, None]]) for row in POOLED]
    same(pipe, POOLED, by_hand(pipe, single, guidance_scale=1.0, **STEPS), guidance_scale=1.0, **STEPS)
    assert "prepare_ip_adapter_image_embeds" not in vars(pipe)
    pipe = tiny.load(make(), "plus")
    same(pipe, PLUS, by_hand(pipe, plus, **STEPS), prompt="a ball", **STEPS)
    with pytest.raises(errors.MismatchError, match="negative_hidden_states"):
        frames(pipe, HIDDEN, **STEPS)


def test_several_adapters():
    pipe = tiny.load(tiny.sd(), "base", "plus")
    pipe.set_ip_adapter_scale([0.7, 0.4])
    calls = [dict(prompt="", ip_adapter_image_embeds=[pair(a), pair(b, NO_HIDDEN[0])]) for a, b in zip(POOLED, HIDDEN)]
    same(pipe, [POOLED, PLUS], by_hand(pipe, calls, **STEPS), **STEPS)
    for way in (POOLED, [POOLED], [PLUS, POOLED], [POOLED, PLUS, POOLED], [POOLED, HIDDEN[:2]]):
        with pytest.raises(errors.MismatchError, match="way"):
            frames(pipe, way, **STEPS)


@pytest.mark.parametrize("make", [tiny.sd, tiny.sdxl])
def test_prompt_embeddings(make):
    pipe, texts = make(), ["a red ball", "a blue square"]
    way = prompts(pipe, texts, 3, negative_prompt="left")
    told = [pipe.encode_prompt(text, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True, negative_prompt="left")
            for text in texts]  # fmt: skip
    names = ["prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds"][: len(told[0])]
    assert sorted(way) == sorted(names)
    ends = [dict(zip(names, one)) for one in told]
    middle = {name: torch.from_numpy(inbetween.slerp(*(e[name].detach().numpy() for e in ends), 0.5)) for name in names[::2]}
    calls = [ends[0], {**ends[0], **middle}, {**ends[1]}]
    same(pipe, way, by_hand(pipe, calls, **STEPS), **STEPS)
    alone = {name: way[name] for name in names[::2]}  # without negative ones the pipeline makes its own
    calls = [{name: call[name] for name in names[::2]} for call in calls]
    same(pipe, alone, by_hand(pipe, calls, **STEPS), **STEPS)
    same(pipe, alone, by_hand(pipe, calls, negative_prompt="left", **STEPS), negative_prompt="left", **STEPS)


def test_prompts_and_pictures_travel_together():
    pipe = tiny.load(tiny.sd(), "base")
    words = prompts(pipe, ["a red ball", "a blue square"], 3)
    calls = [dict(prompt_embeds=text[None], negative_prompt_embeds=words["negative_prompt_embeds"], ip_adapter_image_embeds=[pair(row)])
             for text, row in zip(words["prompt_embeds"], POOLED)]  # fmt: skip
    same(pipe, {"image_embeds": POOLED, **words}, by_hand(pipe, calls, **STEPS), **STEPS)


def test_a_prompt_for_each_row():
    pipe, texts = tiny.load(tiny.sd(), "base"), ["a red ball", "a blue ball", "a green ball"]
    calls = [dict(prompt=text, ip_adapter_image_embeds=[pair(row)]) for text, row in zip(texts, POOLED)]
    same(pipe, POOLED, by_hand(pipe, calls, **STEPS), prompt=texts, **STEPS)
    with pytest.raises(errors.ArgumentError, match="prompt"):
        frames(pipe, POOLED, prompt=texts[:2], **STEPS)


def test_first_noise_given():
    pipe = tiny.load(tiny.sd(), "base")
    latents = torch.randn(1, 4, tiny.SIZE // 2, tiny.SIZE // 2, generator=noise(5))
    calls = [dict(prompt="", ip_adapter_image_embeds=[pair(row)]) for row in POOLED]
    same(pipe, POOLED, by_hand(pipe, calls, latents=latents, **STEPS), latents=latents, **STEPS)
    a, b = (levels(frames(pipe, POOLED[:1], seed=seed, **STEPS)) for seed in (1, 2))
    assert np.abs(a - b).max() > 4


def test_from_render_to_film(tmp_path):
    """Pictures, the tower's embeddings on the way between them, a film."""
    from conftest import moving

    for name, picture in zip("ab", moving(2, speed=9)):
        inbetween.write_film(tmp_path / f"{name}.png", [picture])
    keys = [tmp_path / "a.png", tmp_path / "b.png"]
    for tokens, kind in (("pooled", "base"), ("penultimate", "plus")):
        with inbetween.Space(f"clip:{tiny.CLIP}", tokens=tokens) as space:
            inbetween.render(keys, tmp_path / "way.safetensors", space=space, frames=4, fps=8)
        pipe = tiny.load(tiny.sd(), kind)
        assert film(pipe, tmp_path / "way.safetensors", tmp_path / f"{kind}.mp4", batch=3, **STEPS) == 4
        assert inbetween.encode(tmp_path / f"{kind}.mp4", size=(32, 32)).shape == (4, 4, 4, 96)
        with inbetween.Space("patch") as space:
            inbetween.encode_file(tmp_path / f"{kind}.mp4", tmp_path / f"{kind}.h5", space=space)
        with inbetween.LatentFile(tmp_path / f"{kind}.h5") as file:
            assert file.info.fps == pytest.approx(8)
        with pytest.raises(errors.FileError):
            film(pipe, tmp_path / "way.safetensors", tmp_path / "none" / "x.mp4", **STEPS)


BAD_WAYS = [
    (torch.randn(3, tiny.WIDTH + 1), errors.MismatchError),
    (torch.randn(tiny.WIDTH), errors.MismatchError),
    (torch.randn(0, tiny.WIDTH), errors.MismatchError),
    (HIDDEN, errors.MismatchError),
    (torch.full((2, tiny.WIDTH), float("nan")), errors.NonfiniteError),
    (torch.ones(2, tiny.WIDTH, dtype=torch.int64), TypeError),
    (np.array(["a", "b"]), TypeError),
    ({}, errors.MismatchError),
    ({"pts": np.arange(3.0)}, errors.MismatchError),
    ({"image_embeds": POOLED, "hidden_states": HIDDEN}, errors.MismatchError),
    ({"image_embeds": POOLED, "negative_image_embeds": NONE[0]}, errors.MismatchError),
    ({"image_embeds": POOLED, "negative_image_embeds": POOLED}, errors.MismatchError),
    ({"image_embeds": POOLED, "prompt_embeds": torch.randn(2, 77, 32)}, errors.MismatchError),
    ("none.safetensors", errors.FileError),
    (__file__, errors.FormatError),
]


@pytest.mark.parametrize("way, kind", BAD_WAYS, ids=range(len(BAD_WAYS)))
def test_refuses_bad_ways(way, kind):
    for make in (tiny.unclip, lambda: tiny.load(tiny.sd(), "base")):
        with pytest.raises(kind):
            frames(make(), way, **STEPS)


def test_refuses_bad_calls():
    pipe = tiny.load(tiny.sd(), "base")
    for bad, kind in (
        (dict(generator=noise()), errors.ArgumentError),
        (dict(output_type="pt"), errors.ArgumentError),
        (dict(num_images_per_prompt=2), errors.ArgumentError),
        (dict(batch=0), errors.ArgumentError),
        (dict(seed=-1), errors.ArgumentError),
        (dict(batch=1.5), TypeError),
        (dict(prompt=[1, 2, 3]), errors.ArgumentError),
    ):
        with pytest.raises(kind):
            frames(pipe, POOLED, **bad, **STEPS)
    with pytest.raises(errors.UnsupportedError, match="int"):
        frames(3, POOLED)
    with pytest.raises(errors.MismatchError, match="IP-Adapter"):
        frames(tiny.sd(), POOLED, **STEPS)
    with pytest.raises(errors.UnsupportedError, match="StableUnCLIP"):
        frames(tiny.unclip(), {"image_embeds": POOLED, "prompt_embeds": torch.randn(3, 77, 32)}, **STEPS)
    for texts in ("a red ball", ["a red ball"]):
        with pytest.raises(errors.ArgumentError, match="texts"):
            prompts(pipe, texts)


def test_a_pipelines_failure_comes_through_and_leaves_it_as_it_was(tmp_path):
    pipe = tiny.load(tiny.sd(), "base")

    def stop(*_):
        raise LookupError("enough")

    with pytest.raises(LookupError):
        film(pipe, POOLED, tmp_path / "x.mp4", callback_on_step_end=stop, **STEPS)
    assert not list(tmp_path.iterdir())
    assert "_progress_bar_config" not in vars(pipe) and "prepare_ip_adapter_image_embeds" not in vars(pipe)
