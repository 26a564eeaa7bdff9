"""inbetween.torch against the C library and program."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import c_model  # noqa: E402
from inbetween.torch import Config, InBetween, Strengths, loss  # noqa: E402

STRENGTHS = Strengths((0.25, 1.0, 4.0), (0.5, 0.25, 0.75), (0.25, 0.5, 0.125), (1.0, 0.5, 0.25))
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
                assert torch.equal(run(model, case | {"t": np.full_like(case["t"], end)}), torch.from_numpy(case[keyframe]))
            same = run(model, case | {"z1": case["z0"]})
            assert torch.equal(same, torch.from_numpy(case["z0"])), name
            back = case | {"z0": case["z1"], "z1": case["z0"], "t": 1 - case["t"]}
            if config.guide:
                back["guide"] = case["guide"][:, ::-1].copy()
                back["feature"] = case["feature"][:, [1, 0, 2, 3, 4, 5, 6, 7]]
            assert rms((run(model, back) - z).numpy()) < 1e-6 * rms(z.numpy()), name
