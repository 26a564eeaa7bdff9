"""Every block of docs/diffusers.md runs, in its order, against small random pipelines. Only the number of steps and of frames is less."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import moving
from pages import blocks, is_shell, run

torch = pytest.importorskip("torch")
tiny = pytest.importorskip("tiny_pipelines")

from diffusers import DDIMScheduler, DDPMScheduler  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

import inbetween  # noqa: E402
from inbetween import Adapter, Space  # noqa: E402
from inbetween._library import lib_path  # noqa: E402

PAGE = tiny.ROOT / "docs" / "diffusers.md"
PROGRAM = Path(lib_path).resolve().parent / "inbetween"
ROWS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory, films):
    """What the page speaks of."""
    folder = tmp_path_factory.mktemp("page")
    for name, make in (("unclip", tiny.unclip), ("decoder", tiny.kandinsky), ("base", tiny.sd), ("xl", tiny.sdxl)):
        make().save_pretrained(folder / name)
    for subfolder, make, names in (
        ("models", tiny.sd, ("ip-adapter_sd15", "ip-adapter-plus_sd15")),
        ("sdxl_models", tiny.sdxl, ("ip-adapter_sdxl", "ip-adapter-plus_sdxl_vit-h")),
    ):
        (folder / "adapters" / subfolder).mkdir(parents=True)
        for name in names:
            state = tiny.adapter(make().unet, "plus" in name)
            flat = {f"{part}.{key}": tensor for part, tensors in state.items() for key, tensor in tensors.items()}
            save_file(flat, folder / "adapters" / subfolder / f"{name}.safetensors")
    for name, picture in zip(("a", "b", "photo"), moving(3, speed=9)):
        inbetween.write_film(folder / f"{name}.png", [picture])
        (folder / f"{name}.png").rename(folder / f"{name}.jpg")  # a picture is known by what is in it
    (folder / "prompts.txt").write_text("a red ball\na blue square\n")
    (folder / "latents").mkdir()
    with Adapter.new("toaster", "patch:dct8+4:v1", "grid", 96) as adapter:
        adapter.save(folder / "pixels.safetensors")
    with Space(f"clip:{tiny.CLIP}") as space:
        for guide in ("prior", folder / "pixels.safetensors"):
            made = inbetween.encode_file(films[0], folder / "latents" / "a.h5", space=space, guide=guide, overwrite=True, force=True)
            with Adapter.new("toaster", space.id, "single", tiny.WIDTH, guide=made.guide_model) as adapter:
                adapter.save(folder / f"joint-{Path(guide).stem}.safetensors")
    return folder


def shell(line, folder):
    """A line of the page, with the model and few frames."""
    words = [word.replace("clip:MODEL", f"clip:{tiny.CLIP}") for word in shlex.split(line)]
    joint = folder / "joint.safetensors"
    joint.unlink(missing_ok=True)
    joint.symlink_to(f"joint-{'pixels' if '--guide' in words else 'prior'}.safetensors")
    more = ["-n", str(ROWS)] if words[1] == "render" else []
    done = subprocess.run([PROGRAM, *words[1:], *more], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}\n{done.stderr}"


@pytest.mark.filterwarnings("ignore:.*image_encoder is not loaded")
def test_every_block_runs(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for kind in (DDIMScheduler, DDPMScheduler):
        real = kind.set_timesteps
        monkeypatch.setattr(kind, "set_timesteps", lambda self, n, real=real, **more: real(self, 2, **more))
    names = {
        "UNCLIP": "unclip", "DECODER": "decoder", "BASE": "base", "XL": "xl", "ADAPTERS": "adapters", "DEVICE": "cpu",
        "DTYPE": torch.float32, "SIZE": tiny.SIZE,
    }  # fmt: skip
    seen, before = {"shell": 0, "hand": 0, "frames": 0}, None
    for first, block in blocks(PAGE):
        if is_shell(block):
            for line in block.splitlines():
                shell(line, folder)
                seen["shell"] += 1
            continue
        names.pop("picture", None)
        run(PAGE, first, block, names)
        if "frames(" in block:
            assert len(names["pictures"]) == ROWS
            before, seen["frames"] = names["pictures"], seen["frames"] + 1
        if "picture" in names:  # by hand, what `frames` gave first
            seen["hand"] += 1
            np.testing.assert_array_equal(np.asarray(names["picture"]), np.asarray(before[0]))
    assert seen == {"shell": 6, "hand": 4, "frames": 6}
    for name, count in (("unclip.mp4", ROWS), ("travel.mp4", 5)):
        assert len(inbetween.encode(name, size=(32, 32))) == count
