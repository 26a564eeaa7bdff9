"""Towers as their own libraries save them, compared with those libraries' outputs: transformers here, open_clip by a fixture."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from PIL import Image  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import (  # noqa: E402
    CLIPModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionModelWithProjection,
    SiglipConfig,
    SiglipModel,
    SiglipVisionModel,
)

from inbetween import Space, _declarations, errors  # noqa: E402

ROOT = _declarations.source_tree()
pytestmark = [
    pytest.mark.skipif(ROOT is None, reason="needs the fixtures of the source tree"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
FIXTURES = ROOT / "tests" / "fixtures" if ROOT else Path()
TINY, OPEN = FIXTURES / "clip-tiny", FIXTURES / "clip-openclip"
TOLERANCE = 1e-4  # of the root mean square
PROMPTS = ["a red ball", "A photo of the blue square, left of the circle!", "", "word " * 90]

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def near(got, expected):
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    assert got.shape == expected.shape
    off = np.abs(got - expected).max() / np.sqrt(np.square(expected).mean())
    assert off < TOLERANCE, off


@pytest.fixture(scope="module")
def model():
    """The tiny CLIP with weights that do not fit into halves."""
    model = CLIPModel.from_pretrained(TINY).float().eval()
    torch.manual_seed(30)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1e-3 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def expected(model):
    """Of the fixture's picture and the prompts, by transformers."""
    pixels = load_file(TINY / "expected.safetensors")["pixel_values"][:1]
    tokenizer = CLIPTokenizer(str(TINY / "vocab.json"), str(TINY / "merges.txt"))
    ids = tokenizer(PROMPTS, padding="max_length", truncation=True, max_length=77, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        seen = model.vision_model(pixel_values=pixels, output_hidden_states=True)
        read = model.text_model(input_ids=ids)
        return {
            "pooled": model.visual_projection(seen.pooler_output)[0],
            "penultimate": seen.hidden_states[-2][0],
            "texts": model.text_projection(read.pooler_output),
        }


def beside(folder, tokenizer):
    """What lies beside the weights: preprocessing, and a tokenizer as files or as tokenizer.json alone."""
    shutil.copy(TINY / "preprocessor_config.json", folder)
    if tokenizer == "files":
        for name in ("vocab.json", "merges.txt"):
            shutil.copy(TINY / name, folder)
    elif tokenizer == "json":
        CLIPTokenizer(str(TINY / "vocab.json"), str(TINY / "merges.txt")).save_pretrained(folder)
        for name in ("vocab.json", "merges.txt"):
            (folder / name).unlink(missing_ok=True)
        assert (folder / "tokenizer.json").is_file()


def check(path, expected, texts=True):
    picture = np.asarray(Image.open(TINY / "frame.png").convert("RGB"))
    for tokens in ("pooled", "penultimate"):
        with Space(f"clip:{path}", tokens=tokens) as space:
            near(space.encode(picture), expected[tokens])
            if texts and tokens == "pooled":
                assert space.reads_text
                near([space.encode_text(prompt) for prompt in PROMPTS], expected["texts"])


@pytest.mark.parametrize("tokenizer", ["files", "json"])
def test_clip_model(model, expected, tokenizer, tmp_path):
    model.save_pretrained(tmp_path)
    beside(tmp_path, tokenizer)
    check(tmp_path, expected)


def test_shards(model, expected, tmp_path):
    model.save_pretrained(tmp_path, max_shard_size="150KB")
    beside(tmp_path, "json")
    assert (tmp_path / "model.safetensors.index.json").is_file() and len(list(tmp_path.glob("model-*.safetensors"))) > 2
    check(tmp_path, expected)


def test_towers_by_themselves(model, expected, tmp_path):
    vision = CLIPVisionModelWithProjection(model.config.vision_config).float().eval()
    vision.load_state_dict({k: v for k, v in model.state_dict().items() if k in vision.state_dict()})
    vision.save_pretrained(tmp_path / "image_encoder")
    beside(tmp_path / "image_encoder", None)
    check(tmp_path / "image_encoder", expected, texts=False)
    text = CLIPTextModelWithProjection(model.config.text_config).float().eval()
    text.load_state_dict({k: v for k, v in model.state_dict().items() if k in text.state_dict()})
    text.save_pretrained(tmp_path / "text_encoder")
    beside(tmp_path / "text_encoder", "json")
    with Space(f"clip:{tmp_path / 'text_encoder'}") as space:
        near([space.encode_text(prompt) for prompt in PROMPTS], expected["texts"])
        with pytest.raises(errors.UnsupportedError):
            space.encode(np.zeros((48, 48, 3), np.uint8))


@pytest.mark.parametrize("without", ["vision_model.", None])
def test_prefixes(model, expected, without, tmp_path):
    """The image tower's names with and without their prefix, as versions of transformers have written them."""
    vision = {k: v for k, v in model.state_dict().items() if k.startswith(("vision_model.", "visual_projection."))}
    if without:
        vision = {k.removeprefix(without): v for k, v in vision.items()}
    save_file({k: v.contiguous() for k, v in vision.items()}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    config = CLIPVisionModelWithProjection(model.config.vision_config).config
    config.save_pretrained(tmp_path)
    beside(tmp_path, None)
    check(tmp_path, expected, texts=False)


def test_halves(model, tmp_path):
    for dtype in (torch.float16, torch.bfloat16):
        folder = tmp_path / str(dtype)
        half = CLIPModel.from_pretrained(TINY).to(dtype)
        half.save_pretrained(folder)
        beside(folder, "files")
        full = half.float().eval()
        pixels = load_file(TINY / "expected.safetensors")["pixel_values"][:1]
        with torch.no_grad():
            wanted = full.visual_projection(full.vision_model(pixel_values=pixels).pooler_output)[0]
        with Space(f"clip:{folder}") as space:
            near(space.encode(np.asarray(Image.open(TINY / "frame.png").convert("RGB"))), wanted)


def test_open_clip():
    """tests/fixtures/make_clip_openclip.py; tests/test_clip_reference.c compares the text tower's hidden tokens too."""
    wanted = load_file(OPEN / "expected.safetensors")
    picture = np.asarray(Image.open(OPEN / "frame.png").convert("RGB"))
    for fit, row in (("crop", 0), ("squash", 1)):
        for tokens, name in (("pooled", "image_embeds"), ("penultimate", "vision_hidden_penultimate")):
            with Space(f"clip:{OPEN}", tokens=tokens, fit=fit) as space:
                near(space.encode(picture), wanted[name][row])
    with Space(f"clip:{OPEN}") as space:
        near([space.encode_text(prompt) for prompt in json.loads((OPEN / "prompts.json").read_text())], wanted["text_embeds"])


@pytest.mark.parametrize("kind", ["model", "vision"])
def test_siglip_is_refused_by_name(kind, tmp_path):
    small = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
    config = SiglipConfig(text_config=dict(small, vocab_size=100), vision_config=dict(small, image_size=32, patch_size=16))
    siglip = SiglipModel(config) if kind == "model" else SiglipVisionModel(config.vision_config)
    siglip.save_pretrained(tmp_path)
    for path in (tmp_path, tmp_path / "model.safetensors"):
        with pytest.raises(errors.Error, match="SigLIP"):
            Space(f"clip:{path}")
