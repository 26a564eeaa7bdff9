"""transformers' and diffusers' own loaders open the tiny world as it lies in the tree. What they made of it once
(tests/fixtures/tinyworld, by tools/tinyworld/compare.py) they make again; the program's renderer is held against the same pictures by
tests/cli_tinyworld.sh."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")
from PIL import Image  # noqa: E402
from safetensors import safe_open  # noqa: E402

ROOT = Path(__file__).parents[2]
WORLD, FIXTURES = ROOT / "models/tinyworld", ROOT / "tests/fixtures/tinyworld"


@pytest.fixture(scope="module")
def expected():
    with safe_open(FIXTURES / "expected.safetensors", "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()} | file.metadata()


def levels(picture):
    return np.asarray(picture.convert("RGB")).astype(int)


def opened():
    return diffusers.StableDiffusionPipeline.from_pretrained(WORLD).to(torch.float32)


def drawn(pipe, steps, guidance, **call):
    pipe.set_progress_bar_config(disable=True)
    made = pipe(num_inference_steps=steps, guidance_scale=guidance, height=64, width=64,
                generator=torch.Generator().manual_seed(7), **call).images[0]
    return levels(made)


def off(picture, name):
    return np.abs(picture - levels(Image.open(FIXTURES / f"{name}.png"))).max()


def test_prompt(expected):
    assert off(drawn(opened(), 6, 3, prompt=expected["prompt"]), "prompt") <= 2


def test_picture(expected):
    pipe = opened()
    pipe.load_ip_adapter(WORLD, subfolder="", weight_name="ip-adapter.safetensors", image_encoder_folder=None)
    z = expected["picture"]
    made = drawn(pipe, 6, 2, prompt="", ip_adapter_image_embeds=[torch.cat([torch.zeros_like(z), z])[:, None]])
    assert off(made, "pooled") <= 2


def test_towers(expected):
    clip = transformers.CLIPModel.from_pretrained(WORLD / "clip").float().eval()
    words = transformers.CLIPTokenizer.from_pretrained(WORLD / "clip")(
        [expected["prompt"]], padding="max_length", max_length=77, return_tensors="pt")
    assert torch.equal(words.input_ids.int(), expected["ids"])
    with torch.inference_mode():
        text = clip.get_text_features(words.input_ids)
    text = getattr(text, "pooler_output", text)
    assert (text - expected["text"]).abs().max() <= 1e-4 * expected["text"].abs().max()
