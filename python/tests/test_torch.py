"""inbetween.torch against the C library and program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import c_model  # noqa: E402

import inbetween  # noqa: E402
from inbetween import errors  # noqa: E402
from inbetween._library import call, ffi, lib  # noqa: E402
from inbetween.torch import Config, InBetween, Strengths, Windows, loss  # noqa: E402

ROOT = Path(__file__).parents[2]
STRENGTHS = Strengths((0.25, 1.0, 4.0), (0.5, 0, 0.75), (0.25, 0, 0.125), (1.0, 0.5, 0.25))
CONFIGS = {
    "single": (Config("vectors:test", "single", 24, 32, fine_blocks=2), (24,)),
    "single width 1": (Config("vectors:one", "single", 1, 16), (1,)),
    "single guided": (Config("vectors:test", "single", 24, 32, guide="prior:motion:2"), (24,)),
    "single strengths": (Config("vectors:test", "single", 24, 32, guide="prior:motion:2", strengths=STRENGTHS), (24,)),
    "sequence": (Config("tokens:test", "sequence", 12, 64, fine_blocks=2), (10, 12)),
    "sequence square": (Config("tokens:test", "sequence", 12, 48), (17, 12)),
    "sequence guided": (Config("tokens:test", "sequence", 12, 32, guide="prior:motion:2"), (9, 12)),
    "grid": (Config("vae:test", "grid", 4, 16, 32, 1, 2), (6, 9, 4)),
    "grid one level": (Config("vae:test", "grid", 4, 16, 0, 2, 0), (4, 5, 4)),
    "patch": (Config("patch:dct8+4:v1", "grid", 96, 16, 16, 1, 1, True, 0.6), (3, 4, 96)),
    "patch strengths": (Config("patch:dct8+4:v1", "grid", 96, 16, 0, 1, 0, True, 0.6, strengths=STRENGTHS), (2, 3, 96)),
    "grid guided": (Config("vae:test", "grid", 4, 16, 16, 1, 1, guide="prior:motion:2"), (5, 5, 4)),
}


def model_of(config, seed=3):
    """A C model whose heads, films and biases say something too."""
    c = c_model.Model(config, seed=seed)
    rng = np.random.default_rng(seed)
    for name, w in c.tensors(c.params).items():
        w += (0.3 if name.startswith("gate.") else 0.1) * rng.standard_normal(w.shape, dtype=np.float32)
    c.refresh()
    return c


def pictures(shape, n, rng):
    """Keyframes of the patch space: a smooth texture, moved."""
    rows, cols, _ = shape
    planes = np.empty((2, n, 96 * rows * cols), np.float32)
    for i in range(n):
        wave, way = rng.uniform(0.1, 0.5, (6, 2)), rng.uniform(-4, 4, 2)
        for side in (0, 1):
            parts = []
            for k, step in enumerate((1, 2, 2)):
                y, x = np.mgrid[0 : 8 * rows : step, 0 : 8 * cols : step] + side * way[:, None, None]
                v = sum(np.sin(a * y + b * x + k) for a, b in wave)
                parts.append(((0.5 if k == 0 else 0) + (0.08 if k == 0 else 0.03) * v).ravel())
            planes[side, i] = np.concatenate(parts)
    return (c_model.patches(planes[0], rows, cols), c_model.patches(planes[1], rows, cols))


def samples(config, shape, n=12, seed=5):
    """Keyframes, times, gaps and, with guides, guide, feature and which have one."""
    rng = np.random.default_rng(seed)
    z0 = rng.standard_normal((n, *shape), dtype=np.float32)
    z1 = z0 + rng.uniform(0.1, 2, (n, *[1] * len(shape))).astype("f4") * rng.standard_normal(z0.shape, dtype=np.float32)
    if config.motion:
        z0, z1 = pictures(shape, n, rng)
    t = rng.uniform(0.02, 0.98, n).astype("f4")
    t[:2] = 0.5
    z0[1], z1[1] = z1[0], z0[0]
    gap = np.exp(rng.uniform(np.log(0.05), np.log(7), n)).astype("f4")
    gap[1] = gap[0]
    gap[3:5] = 9, 1  # where STRENGTHS leave nothing, and nothing of guides
    case = dict(z0=z0, z1=z1, t=t, gap=gap)
    if config.guide:
        mean = (z0 + z1)[:, None] / 2
        case["guide"] = mean + 0.3 * rng.standard_normal((n, 2, *shape), dtype=np.float32)
        case["feature"] = rng.uniform(0, 0.3, (n, 8)).astype("f4")
        case["guided"] = np.arange(n) % 3 != 2
    return case


def run(model, case):
    args = {k: torch.from_numpy(v) for k, v in case.items()}
    return model(args.pop("z0"), args.pop("z1"), args.pop("t"), args.pop("gap"), **args)


def rms(x):
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


@pytest.mark.parametrize("name", CONFIGS)
def test_predictions_are_those_of_the_program(name, tmp_path):
    config, shape = CONFIGS[name]
    c, case = model_of(config), samples(*CONFIGS[name])
    c.save(tmp_path / "a.safetensors")
    model = InBetween.from_file(tmp_path / "a.safetensors")
    assert model.config == config
    want, got = c.predict(**case), run(model, case).detach().numpy()
    off, slerp = rms(got - want) / rms(want), run(InBetween(config).eval(), case).numpy(force=True)
    print(f"{name}: {off:.2e} of the RMS; from slerp {rms(want - slerp) / rms(want):.2e}")
    assert off < 1e-5
    if config.width > 1:
        assert rms(want - slerp) > 1e-3 * rms(want)  # the comparison can fail


@pytest.mark.parametrize("name", ["models/default", "tests/golden/adapter-2", "tests/golden/member-2"])
def test_trained_adapters(name):
    """Files of the tree, float32 and float16, with their trust."""
    path = ROOT / f"{name}.safetensors"
    model = InBetween.from_file(path)
    case = samples(model.config, (4, 6, 96) if model.config.motion else (8,), n=5)
    with inbetween.Adapter.load(path) as adapter:
        want = adapter.between(case["z0"], case["z1"], case["t"][:, None], gap_seconds=case["gap"])[:, 0]
    off = rms(run(model, case).detach().numpy() - want) / rms(want)
    print(f"{name}: {off:.2e} of the RMS")
    assert off < 1e-5


@pytest.mark.parametrize("name", CONFIGS)
def test_gradients_are_those_of_the_program(name, tmp_path):
    config, shape = CONFIGS[name]
    c, case = model_of(config), samples(*CONFIGS[name])
    c.save(tmp_path / "a.safetensors")
    model = InBetween.from_file(tmp_path / "a.safetensors").train()
    target = case["z0"] + np.random.default_rng(9).standard_normal(case["z0"].shape, dtype=np.float32)
    if config.motion:
        target = case["z0"] + 0.1 * (target - case["z0"])
    value, want = c.learn(**case, target=target, unit=0.7)
    got = loss(run(model, case), torch.from_numpy(target), 0.7, config.motion)
    got.backward()
    assert got.item() == pytest.approx(value, rel=1e-5)
    for key, p in model.named_parameters():
        off = rms(p.grad.numpy() - want[key]) / max(rms(want[key]), 1e-12)
        assert off < 1e-4, f"{key}: {off:.2e} of {rms(want[key]):.2e}"
    assert set(want) == {k for k, _ in model.named_parameters()}


def test_strengths_and_trust():
    config, shape = CONFIGS["single strengths"]
    model, case = InBetween(config).eval(), samples(config, shape)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.2 * torch.randn_like(p)
    held = run(model, case)
    model.set_strengths(None)
    whole = run(model, case)
    assert not torch.equal(held, whole) and torch.allclose(run(model.train(), case), whole)
    model.eval().trust = 0.0
    path = model.slerp(*(torch.from_numpy(case[k]) for k in ("z0", "z1", "t")))
    assert torch.equal(run(model, case), path)


def test_estimate_beforehand(monkeypatch):
    """By any number of threads, and given to the model, it makes no difference to the bit."""
    config, shape = CONFIGS["patch"]
    model, case = InBetween(config).eval(), samples(config, shape, n=5)
    pair = [torch.from_numpy(case[k]) for k in ("z0", "z1", "t")]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    one, z = model.estimate(*pair), run(model, case)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    three = model.estimate(*pair)
    assert one.keys() == three.keys() and all(torch.equal(one[k], three[k]) for k in one)
    assert torch.equal(model(*pair, torch.from_numpy(case["gap"]), estimate=three), z)
    assert not torch.equal(model(*pair, torch.from_numpy(case["gap"]), estimate=one | {"prior": one["prior"] + 1}), z)


def test_dropout():
    model, case = InBetween(CONFIGS["sequence"][0]), samples(*CONFIGS["sequence"])
    x, time = torch.randn(5, 7, 64), torch.randn(5, 64)
    whole = model.out(x, time)
    model.dropout = 0.5
    part = model.out(x, time) / whole
    kept = part[:, 0]
    assert torch.allclose(part, kept[:, None].expand_as(part), atol=1e-4)  # all tokens of a sample alike
    assert set(kept.round(decimals=3).unique().tolist()) == {0.0, 2.0} and 100 < (kept > 1).sum() < 220
    assert all(block.dropout == 0.5 for block in (*model.before, *model.after))
    assert torch.equal(model.eval().out(x, time), whole)
    assert torch.isfinite(run(model.train(), case)).all()
    with pytest.raises(errors.ArgumentError, match="dropout"):
        model.dropout = 1.0


def test_files_are_those_of_the_program(tmp_path):
    for i, (config, _) in enumerate(CONFIGS.values()):
        c = model_of(config)
        c.save(tmp_path / "c.safetensors")
        model = InBetween.from_file(tmp_path / "c.safetensors")
        model._origin = None  # which would be named as the parent
        model.save(tmp_path / "t.safetensors")
        assert (tmp_path / "t.safetensors").read_bytes() == (tmp_path / "c.safetensors").read_bytes(), i


def test_what_holds_by_construction():
    for name, (config, shape) in CONFIGS.items():
        model, case = InBetween(config).eval(), samples(config, shape)
        with torch.no_grad():
            for p in model.parameters():
                p += 0.1 * torch.randn_like(p)
            z = run(model, case)
            for end, keyframe in ((0, "z0"), (1, "z1")):
                z_end = run(model, case | {"t": np.full_like(case["t"], end)})
                assert torch.equal(z_end, torch.from_numpy(case[keyframe]))
            same = run(model, case | {"z1": case["z0"]})
            assert torch.equal(same, torch.from_numpy(case["z0"])), name
            back = case | {"z0": case["z1"], "z1": case["z0"], "t": 1 - case["t"]}
            if config.guide:
                back["guide"] = case["guide"][:, ::-1].copy()
                back["feature"] = case["feature"][:, [1, 0, 2, 3, 4, 5, 6, 7]]
            assert rms((run(model, back) - z).numpy()) < 1e-6 * rms(z.numpy()), name


def waves(folder, n=4, seconds=16, layout="single"):
    """Latent files of points on curves that slerp cuts short; with a cut in the middle."""
    folder.mkdir()
    for i in range(n):
        t = np.arange(20 * seconds)[:, None] / 20
        z = np.concatenate([f(w * t + i + w) for w in (0.9, 1.7, 2.6) for f in (np.sin, np.cos)], 1).astype("f4")
        z[len(z) // 2 :] *= -1
        if layout == "sequence":
            z = np.stack([z, z[:, ::-1], 0.5 * z], 1)
        cuts = np.arange(len(z)) == len(z) // 2
        inbetween.LatentFile.write(folder / f"{i}.h5", z, space=f"waves:{layout}", layout=layout, fps=20, cuts=cuts)
    return sorted(folder.iterdir())


def teach(model, windows, steps, batch, rate):
    """Adam. Mean loss of the first and of the last ten steps."""
    optimiser, losses, unit = torch.optim.Adam(model.parameters(), rate), [], None
    loader = torch.utils.data.DataLoader(windows, batch)
    model.train()
    for step, item in zip(range(steps), loader):
        target = item.pop("target")
        left = (model.slerp(item["z0"], item["z1"], item["t"]) - target).square().flatten(1).mean(1)
        mean = left.mean()
        unit = mean if unit is None else unit + 0.05 * (mean - unit)
        value = loss(model(**item), target, left if model.config.motion else unit, model.config.motion)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        losses.append(value.item())
    return np.mean(losses[:10]), np.mean(losses[-10:])


@pytest.mark.parametrize("layout", ["single", "sequence"])
def test_there_and_back(layout, tmp_path):
    """An adapter of the library's is trained on in torch, and the library evaluates what came of it."""
    files = waves(tmp_path / "data", layout=layout)
    inbetween.train(files[:3], tmp_path / "run", steps=5, batch=16, preset="toaster", gaps=(4, 12), threads=1, valid_fraction=0)
    start = tmp_path / "run" / "adapter.safetensors"
    model = InBetween.from_file(start)
    first, last = teach(model, Windows(files[:3], gap=(4, 12)), 50, 32, 3e-3)
    assert last < 0.8 * first
    model.eval().save(tmp_path / "mine.safetensors", {"train.steps": "50"})
    info = inbetween.Adapter.load(tmp_path / "mine.safetensors").info
    assert info.metadata["train.steps"] == "50" and '"role":"init"' in info.metadata["inbetween.parents"]
    report = inbetween.evaluate(files[3], adapters=[start, tmp_path / "mine.safetensors"], gaps=8, threads=1)
    means = report["gaps"][0]["mean"]
    before, after = means["adapter"]["skill"], means["mine"]["skill"]
    print(f"{layout}: skill {before:.3f}, after 50 steps of torch {after:.3f}")
    assert after > before + 0.05


def test_pictures_there_and_back(encoded, tmp_path):
    files = sorted(encoded.glob("*.h5"))
    inbetween.train(files, tmp_path / "run", steps=2, batch=2, preset="toaster", threads=1, valid_fraction=0)
    model = InBetween.from_file(tmp_path / "run" / "adapter.safetensors")
    first, last = teach(model, Windows(files, gap=(2, 8), crop=(4, 4)), 50, 2, 1e-3)
    model.save(tmp_path / "mine.safetensors")
    report = inbetween.evaluate(encoded, adapters=[tmp_path / "mine.safetensors"], gaps=8, threads=1)
    means = report["gaps"][0]["mean"]
    print(f"pictures: loss {first:.3f} to {last:.3f}; {({k: v['skill'] for k, v in means.items()})}")
    assert last < first and means["mine"]["skill"] > 0.3


def with_guides(path, seed):
    """A latent file of noise about two points of view, whose guides are near the truth."""
    rng = np.random.default_rng(seed)
    z, gap = rng.standard_normal((60, 6), dtype=np.float32), 4
    firsts = range(0, 56, 4)
    with inbetween.LatentWriter(path, inbetween.Shape("single", 1, 1, 6), space="noise:single", fps=10) as writer:
        for i, one in enumerate(z):
            writer.append(one, i / 10)
        with writer._handle.use() as w:
            windows = ffi.new("ib_guide_window[]", [(first, gap, 0) for first in firsts])
            call(lib.ib_latent_writer_guides, w, b"prior:test", windows, len(windows))
            for first in firsts:
                for k in range(first + 1, first + gap):
                    pictures = np.stack([z[k], z[k]]) + 0.1 * rng.standard_normal((2, 6), dtype=np.float32)
                    feature = np.full(8, 0.1, np.float32)
                    call(lib.ib_latent_writer_append_guide, w, c_model.floats(pictures), c_model.floats(feature))
    return z.astype("f2").astype("f4")


def test_guides_there_and_back(tmp_path):
    files = [tmp_path / f"{i}.h5" for i in range(3)]
    frames = [with_guides(path, i) for i, path in enumerate(files)]
    windows = Windows(files[:2], gap=(2, 6), samples=400)
    items = [windows[i] for i in range(400)]
    assert 150 < sum(bool(item["guided"]) for item in items) < 250
    for item in items[:40]:
        if item["guided"]:
            assert any((z == item["target"].numpy()).all(1).any() for z in frames)
            assert rms((item["guide"] - item["target"]).numpy()) < 0.25 and item["feature"].tolist() == [np.float32(0.1)] * 8
        else:
            assert not item["guide"].any()
    assert "guide" not in Windows(files[:2], guides=False)[0]
    model = InBetween(Config("noise:single", "single", 6, 32, guide="prior:test"))
    model.save(tmp_path / "before.safetensors")
    teach(model, windows, 50, 32, 1e-2)
    model.save(tmp_path / "after.safetensors")
    report = inbetween.evaluate(files[2], adapters=[tmp_path / "before.safetensors", tmp_path / "after.safetensors"], gaps=4, threads=1)
    means = report["gaps"][0]["mean"]
    print({k: v["skill"] for k, v in means.items()})
    assert means["before"]["skill"] == 0 and means["after"]["skill"] > 0.5


def test_windows(tmp_path):
    files = waves(tmp_path / "data", 2, seconds=4)
    windows = Windows(files, gap=(3, 9), seed=4, samples=500)
    with inbetween.LatentFile(files[0]) as a, inbetween.LatentFile(files[1]) as b:
        frames = [a.read(), b.read()]
    gaps, clips = [], []
    for i in range(len(windows)):
        k, first, gap, offset, guide = windows.candidate(np.random.default_rng(i))
        assert 0 <= first // 40 == (first + gap) // 40 <= 1 and 0 < offset < gap and guide is None  # no cut inside
        gaps.append(gap)
        clips.append(k)
    counts = np.bincount(gaps, minlength=10)
    assert counts[:3].sum() == 0 and len(counts) == 10 and counts[3] > counts[9] > 0
    assert 150 < sum(clips) < 350
    item, again = windows[17], Windows(files, gap=(3, 9), seed=4, samples=500)[17]
    assert item.keys() == {"z0", "z1", "target", "t", "gap_seconds"}
    assert all(torch.equal(item[k], again[k]) for k in item)
    assert not torch.equal(item["z0"], windows[18]["z0"])
    found = [(k, int(np.flatnonzero((z == item[name].numpy()).all(1))[0])) for name in ("z0", "target", "z1")
             for k, z in enumerate(frames) if (z == item[name].numpy()).all(1).any()]
    (k, first), (_, target), (_, last) = found
    assert item["t"].item() == pytest.approx((target - first) / (last - first))
    assert item["gap_seconds"].item() == pytest.approx((last - first) / 20)
    two = list(torch.utils.data.DataLoader(Windows(files, gap=(3, 9), samples=8), 4, num_workers=2))
    assert len(two) == 2 and two[1]["z0"].shape == (4, 6) and two[0]["t"].dtype == torch.float32
    with pytest.raises(errors.EmptyError, match="shot of at least 61"):
        Windows(files, gap=(60, 80))
    with pytest.raises(errors.ArgumentError):
        Windows(files, gap=(1, 8))
    with pytest.raises(errors.MismatchError, match="1.h5"):
        Windows([*waves(tmp_path / "more", 1, 4, "sequence"), files[1]])
    with pytest.raises(IndexError):
        windows[500]


def test_bad_input(tmp_path):
    config, shape = CONFIGS["single"]
    model, z = InBetween(config), torch.ones(3, *shape)
    for bad, what in (((z[:, :-1], z[:, :-1], 0.5, 1), "width 24"), ((z, z[:2], 0.5, 1), "width 24"),
                      ((z.double(), z.double(), 0.5, 1), "float32"), ((z, z, 1.5, 1), r"t in \[0,1\]"),
                      ((z, z, float("nan"), 1), r"t in \[0,1\]"), ((z, z, 0.5, 0), "above 0 seconds"),
                      ((z, z, torch.full((2,), 0.5), 1), "one number")):
        with pytest.raises(errors.Error, match=what):
            model(*bad)
    guided, pair = InBetween(CONFIGS["single guided"][0]), torch.ones(3, 2, *shape)
    with pytest.raises(errors.ArgumentError, match="features"):
        guided(z, z, 0.5, 1, pair)
    with pytest.raises(errors.MismatchError, match="guide of the shape"):
        guided(z, z, 0.5, 1, pair[:2], torch.ones(3, 8))
    config, shape = CONFIGS["patch"]
    with pytest.raises(errors.NonfiniteError):
        InBetween(config)(torch.full((1, *shape), float("nan")), torch.ones(1, *shape), 0.5, 1)
    with pytest.raises(errors.ArgumentError, match="multiple of 16"):
        InBetween(Config("x", "single", 4, 17))
    with pytest.raises(errors.ArgumentError, match="preset"):
        Config.preset("huge", "x", "single", 4)


def test_bad_files(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(errors.FileError, match="a.safetensors: cannot be read"):
        InBetween.from_file(path)
    model = InBetween(CONFIGS["single"][0])
    model.save(path)
    whole = path.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]
    for change in (whole[:-4], whole[:100], b"", whole.replace(b'"2"', b'"1"', 1), whole.replace(b'"single"', b'"simple"'),
                   whole.replace(b'"inbetween.trust":"1"', b'"inbetween.trust":"2"'),
                   whole.replace(b'"time.bias"', b'"time.bits"'), whole[:-4] + np.float32("nan").tobytes()):
        assert change != whole
        path.write_bytes(change)
        with pytest.raises(errors.FormatError, match="a.safetensors: "):
            InBetween.from_file(path)
    with torch.no_grad():
        model.into.bias[0] = float("inf")
    with pytest.raises(errors.NonfiniteError, match="not finite"):
        model.save(tmp_path / "b.safetensors")
    with pytest.raises(errors.ArgumentError, match="inbetween.space"):
        InBetween(CONFIGS["single"][0]).save(tmp_path / "b.safetensors", {"inbetween.space": "other"})
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_presets_are_those_of_the_library(tmp_path):
    for preset in ("toaster", "default", "large"):
        for space, layout, width in (("x", "single", 24), ("x", "sequence", 24), ("x", "grid", 4), ("patch:dct8+4:v1", "grid", 96)):
            with inbetween.Adapter.new(preset, space, layout, width) as adapter:
                adapter.save(tmp_path / "a.safetensors")
            assert InBetween.from_file(tmp_path / "a.safetensors").config == Config.preset(preset, space, layout, width)


def test_the_page_runs(tmp_path, monkeypatch):
    """docs/torch.md's program, on the CPU and shorter."""
    page = ROOT / "docs" / "torch.md"
    lines = [line[4:] for line in page.read_text().splitlines() if line.startswith("    ")]
    text = "\n".join(lines).replace("cuda", "cpu").replace("range(1000)", "range(3)").replace("num_workers=4", "num_workers=0")
    monkeypatch.chdir(tmp_path)
    a, b = waves(tmp_path / "latents", 2)
    a.rename("latents/a.h5"), b.rename("latents/b.h5")
    (tmp_path / "run").mkdir()
    InBetween(Config("waves:single", "single", 6, 16)).save("run/adapter.safetensors")
    exec(compile(text, str(page), "exec"), {})
    assert inbetween.Adapter.load("mine.safetensors").info.space_id == "waves:single"
