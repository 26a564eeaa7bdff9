"""integrations/comfyui against stand-ins of what it touches of ComfyUI, which itself is not here."""

from __future__ import annotations

import importlib.util
import sys
import types

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402

from inbetween import Adapter, _declarations, errors, slerp  # noqa: E402

ROOT = _declarations.source_tree()
pytestmark = pytest.mark.skipif(ROOT is None, reason="needs the source tree")
WIDTH, TOKENS, HIDDEN = 24, 5, 16


class Output:
    """Stands for comfy.clip_vision.Output: attributes that are items too."""

    def __getitem__(self, key):
        return getattr(self, key)

    def __setitem__(self, key, item):
        setattr(self, key, item)


@pytest.fixture(scope="module")
def nodes():
    """The folder as ComfyUI imports it: a package under a name of its own."""
    comfy, vision = types.ModuleType("comfy"), types.ModuleType("comfy.clip_vision")
    vision.Output, comfy.clip_vision = Output, vision
    sys.modules.update({"comfy": comfy, "comfy.clip_vision": vision})
    folder = ROOT / "integrations" / "comfyui"
    spec = importlib.util.spec_from_file_location(
        "custom_nodes_inbetween", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    for name in ("comfy", "comfy.clip_vision", spec.name, f"{spec.name}.nodes"):
        sys.modules.pop(name)


def run(nodes, name, **inputs):
    """A node as ComfyUI runs it: its declared inputs, its function by name, outputs by their types."""
    kind = nodes.NODE_CLASS_MAPPINGS[name]
    declared = kind.INPUT_TYPES()
    known = {**declared["required"], **declared.get("optional", {})}
    assert set(declared["required"]) <= set(inputs) <= set(known) and name in nodes.NODE_DISPLAY_NAME_MAPPINGS
    made = getattr(kind(), kind.FUNCTION)(**inputs)
    assert len(made) == len(kind.RETURN_TYPES) == len(kind.RETURN_NAMES)
    for one, several in zip(made, getattr(kind, "OUTPUT_IS_LIST", [False] * len(made))):
        assert isinstance(one, list) == several
    return made


def seen(seed, batch=1):
    torch.manual_seed(seed)
    output = Output()
    output["image_embeds"] = torch.randn(batch, WIDTH)
    output["penultimate_hidden_states"] = torch.randn(batch, TOKENS, HIDDEN)
    output["last_hidden_state"] = torch.randn(batch, TOKENS, HIDDEN)
    return output


def learned(path, layout, width):
    from safetensors_by_hand import moved

    with Adapter.new("toaster", "mine", layout, width) as adapter:
        adapter.save(path)
    moved(path)
    return str(path)


@pytest.mark.parametrize("layout, moved", [("single", "image_embeds"), ("sequence", "penultimate_hidden_states")])
def test_between_clip_vision_outputs(nodes, tmp_path, layout, moved):
    path = learned(tmp_path / "a.safetensors", layout, WIDTH if layout == "single" else HIDDEN)
    (adapter,) = run(nodes, "InbetweenLoadAdapter", path=path)
    first, last = seen(1), seen(2)
    for given in ({}, {"adapter": adapter}):
        (frames,) = run(nodes, "InbetweenClipVision", first=first, last=last, frames=5, gap_seconds=0.5, **given)
        assert len(frames) == 5 and all(isinstance(one, Output) for one in frames)
        for name in ("image_embeds", "penultimate_hidden_states", "last_hidden_state"):
            a, b = (side[name][0].numpy() for side in (first, last))
            by_adapter = given and name == moved
            expected = adapter.between(a, b, 0.25, gap_seconds=0.5) if by_adapter else slerp(a, b, 0.25)
            np.testing.assert_allclose(frames[1][name][0].numpy(), expected, atol=2e-6)
            if by_adapter:
                assert np.abs(expected - slerp(a, b, 0.25)).max() > 1e-4
            assert torch.equal(frames[0][name], first[name]) and torch.equal(frames[4][name], last[name])
            assert frames[1][name].dtype == torch.float32


def test_halves_stay_halves(nodes):
    first, last = seen(1), seen(2)
    for side in (first, last):
        side.image_embeds = side.image_embeds.half()
        side.last_hidden_state = None
    (frames,) = run(nodes, "InbetweenClipVision", first=first, last=last, frames=3, gap_seconds=1.0)
    assert frames[1].image_embeds.dtype == torch.float16 and frames[1].last_hidden_state is None


def test_between_conditionings(nodes):
    torch.manual_seed(3)
    first, last = ([[torch.randn(1, 77, 8), {"pooled_output": torch.randn(1, 6), "area": i}]] for i in range(2))
    (frames,) = run(nodes, "InbetweenConditionings", first=first, last=last, frames=3, gap_seconds=1.0)
    tokens, more = frames[1][0]
    np.testing.assert_allclose(tokens[0].numpy(), slerp(first[0][0][0].numpy(), last[0][0][0].numpy(), 0.5), atol=2e-6)
    pooled = [side[0][1]["pooled_output"][0].numpy() for side in (first, last)]
    np.testing.assert_allclose(more["pooled_output"][0].numpy(), slerp(*pooled, 0.5), atol=2e-6)
    assert more["area"] == 0 and torch.equal(frames[2][0][0], last[0][0])
    last[0][1]["pooled_output"] = None
    (frames,) = run(nodes, "InbetweenConditionings", first=first, last=last, frames=3, gap_seconds=1.0)
    assert frames[1][0][1]["pooled_output"] is first[0][1]["pooled_output"]


def test_way_files(nodes, tmp_path):
    for name, shape, there in (
        ("image_embeds", (4, WIDTH), "image_embeds"),
        ("hidden_states", (4, TOKENS, HIDDEN), "penultimate_hidden_states"),
    ):
        rows = torch.randn(shape)
        save_file({name: rows, "pts": torch.arange(4.0, dtype=torch.float64)}, tmp_path / "way.safetensors")
        batch, frames, count = run(nodes, "InbetweenLoadWay", path=str(tmp_path / "way.safetensors"))
        assert torch.equal(batch[there], rows) and count == len(frames) == 4
        assert torch.equal(frames[2][there], rows[2:3]) and batch["last_hidden_state"] is None
    with pytest.raises(errors.FileError):
        run(nodes, "InbetweenLoadWay", path=str(tmp_path / "none.safetensors"))


def test_a_file_that_changes_is_loaded_again(nodes, tmp_path):
    kind, path = nodes.NODE_CLASS_MAPPINGS["InbetweenLoadAdapter"], learned(tmp_path / "a.safetensors", "single", WIDTH)
    before = kind.IS_CHANGED(path)
    assert kind.IS_CHANGED(path) == before
    import os

    os.utime(path, (1, 1))
    assert kind.IS_CHANGED(path) != before
    missing = kind.IS_CHANGED(str(tmp_path / "none"))
    assert missing != missing  # so that it is tried each time


def test_refuses(nodes, tmp_path):
    grid = learned(tmp_path / "g.safetensors", "grid", WIDTH)
    wide = learned(tmp_path / "w.safetensors", "single", WIDTH + 1)
    nan, other = seen(1), seen(1)
    nan.image_embeds[0, 3] = float("nan")
    other.image_embeds = torch.randn(1, WIDTH + 1)
    for first, adapter, kind in (
        (seen(1, batch=2), None, errors.MismatchError),
        (other, None, errors.MismatchError),
        (nan, None, errors.NonfiniteError),
        (seen(1), grid, errors.UnsupportedError),
        (seen(1), wide, errors.MismatchError),
    ):
        given = {"adapter": Adapter.load(adapter)} if adapter else {}
        with pytest.raises(kind):
            run(nodes, "InbetweenClipVision", first=first, last=seen(2), frames=3, gap_seconds=1.0, **given)
    with pytest.raises(errors.FileError):
        run(nodes, "InbetweenLoadAdapter", path=str(tmp_path / "none.safetensors"))
    part = [torch.randn(1, 77, 8), {}]
    with pytest.raises(errors.UnsupportedError):
        run(nodes, "InbetweenConditionings", first=[part, part], last=[part], frames=3, gap_seconds=1.0)
