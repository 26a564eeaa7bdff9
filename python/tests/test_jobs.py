"""encode, render, evaluate and train: results, callbacks, stopping, resuming, and that nothing prints."""

import logging
import os
import signal
import sys
import threading
import warnings

import numpy as np
import pytest
from conftest import moving

import inbetween
from inbetween import LatentFile, Renderer, errors
from inbetween._job import Job, Sentence


@pytest.fixture(autouse=True)
def nothing_prints(capfd):
    yield
    assert capfd.readouterr() == ("", "")


def test_encode(films, tmp_path):
    seen = []
    first = inbetween.encode_file(films[0], tmp_path / "a.h5", size=(48, 32), progress=seen.append)
    assert (first.frames, first.width, first.height, first.unchanged, first.guide_model) == (24, 48, 32, False, "")
    assert seen and seen[-1].pictures == 24
    assert inbetween.encode_file(films[0], tmp_path / "a.h5", size=(48, 32)).unchanged
    z = inbetween.encode(films[0], size=(48, 32))
    with LatentFile(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file.read(), z)
    assert z.shape == (24, 4, 6, 96)
    assert inbetween.encode(moving(2)).shape == (2, 6, 8, 96)


def test_encode_refuses(films, tmp_path):
    with pytest.raises(errors.FileError, match="none.mp4"):
        inbetween.encode_file(tmp_path / "none.mp4", tmp_path / "a.h5")
    with pytest.raises(errors.ArgumentError):
        inbetween.encode_file(films[0], films[0])
    with pytest.raises(errors.Error):
        inbetween.encode_file(films[0], tmp_path / "a.h5", size=(17, 16))
    with pytest.raises(errors.ArgumentError):
        inbetween.encode_file(films[0], tmp_path / "a.h5", guide_gaps=range(2, 60))
    with pytest.raises((TypeError, OverflowError)):
        inbetween.encode_file(films[0], tmp_path / "a.h5", every=1 << 40)
    with pytest.raises(TypeError):
        inbetween.encode(moving(1).astype(float))
    assert not list(tmp_path.iterdir())


def test_render(films, tmp_path):
    seen = []
    r = inbetween.render([f"{films[0]}@0", f"{films[0]}@1"], tmp_path / "x.mp4", adapter="prior", frames=9, fps=12, progress=seen.append)
    assert (r.frames, r.width, r.height) == (9, 64, 48) and r.seconds == pytest.approx(0.75)
    assert (seen[-1].done, seen[-1].total) == (9, 9)
    with pytest.raises(errors.FileError, match="none.png"):
        inbetween.render(["none.png", films[0]], tmp_path / "y.mp4", adapter="prior")
    with pytest.raises(errors.ArgumentError):
        inbetween.render(films[:1], tmp_path / "y.mp4", adapter="prior")
    with pytest.raises(errors.ArgumentError):
        inbetween.render(films[:2], tmp_path / "y.mp4", guide="none")
    with pytest.raises(errors.Error):
        inbetween.render(films[:2], tmp_path / "y.mp4", adapter="prior", frames=1)
    assert [p.name for p in tmp_path.iterdir()] == ["x.mp4"]


def test_render_embeddings_of_latents(tmp_path):
    rows = np.random.default_rng(1).standard_normal((4, 8))
    LatentFile.write(tmp_path / "a.h5", rows, space="mine", fps=1)
    r = inbetween.render([f"{tmp_path}/a.h5@0", f"{tmp_path}/a.h5@2"], tmp_path / "way.safetensors", frames=5)
    assert r.frames == 5 and (tmp_path / "way.safetensors").stat().st_size > 5 * 8 * 4
    with pytest.raises(errors.ArgumentError):
        inbetween.render([f"{tmp_path}/a.h5@0", f"{tmp_path}/a.h5@2"], tmp_path / "b.safetensors", compare=True)


def test_renderer_in_memory():
    a, b = moving(9)[[0, 8]]
    with Renderer(64, 48, adapter="prior") as renderer:
        made = renderer.between(a, b, [0, 0.5, 1])
        assert made.shape == (3, 48, 64, 3)
        assert np.abs(made[0].astype(int) - a).mean() < 4
        assert np.abs(made[1].astype(int) - moving(9)[4]).mean() < 8
        assert renderer.between(a, b, 0.5).shape == (48, 64, 3)
        for bad, kind in (((a[:40], b, 0.5), errors.MismatchError), ((a, b, 2), errors.ArgumentError), ((a, b * 1.0, 0), TypeError)):
            with pytest.raises(kind):
                renderer.between(*bad)
        with pytest.raises(errors.ArgumentError):
            renderer.between(a, b, 0.5, gap_seconds=-1)
    with pytest.raises(errors.ClosedError):
        renderer.between(a, b, 0.5)
    with pytest.raises(errors.ArgumentError, match="0 to 1"):
        Renderer(64, 48, sharpness=2)


def test_renderer_sharpens():
    grain = np.random.default_rng(1).integers(-20, 20, (2, 48, 64, 1)) + moving(9)[[0, 1]]
    a, b = grain.clip(0, 255).astype(np.uint8)
    contrast = []
    for sharpness in (0, 1):
        with Renderer(64, 48, adapter="prior", sharpness=sharpness) as renderer:
            contrast.append(np.diff(renderer.between(a, b, 0.5).astype(float), axis=1).std())
    assert contrast[1] > 1.1 * contrast[0]


def test_write_film_refuses_and_leaves_nothing(tmp_path):
    for frames, kind in (
        ([], errors.ArgumentError),
        ([moving(1)[0], moving(1, width=32)[0]], errors.MismatchError),
        ([moving(1)[0] / 255], TypeError),
    ):
        with pytest.raises(kind):
            inbetween.write_film(tmp_path / "x.mp4", frames)
    with pytest.raises(errors.ArgumentError):
        inbetween.write_film(tmp_path / "x.txt", moving(2))
    assert not list(tmp_path.iterdir())


def test_evaluate(encoded, films):
    seen = []
    report = inbetween.evaluate(encoded, adapters="prior", gaps=[4, 8], progress=seen.append)
    assert seen[-1].fraction == 1
    means = report["gaps"][0]["mean"]
    assert means["slerp"]["skill"] == 0 and means["prior"]["skill"] > 0.3
    assert len(report["gaps"][1]["places"]) == 7
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        inbetween.evaluate([films[0], "none.mp4"], adapters="prior", size=(48, 32))
    assert "none.mp4" in str(caught[0].message) and caught[0].filename == __file__
    for bad in (dict(gaps=[]), dict(gaps=1), dict(gaps=[3, 3]), dict(size="big"), dict(size=(15, 15)), dict(trust=7.0)):
        with pytest.raises(errors.Error):
            inbetween.evaluate(encoded, adapters="prior", **bad)


def test_evaluate_another_space(encoded, tmp_path):
    with inbetween.Adapter.new("toaster", "mine", "single", 8) as adapter:
        adapter.save(tmp_path / "a.safetensors")
    with pytest.raises(errors.MismatchError, match="mine"):
        inbetween.evaluate(encoded, adapters=[tmp_path / "a.safetensors"])


def test_plot_curve_says_what_it_lacks(encoded):
    pytest.importorskip("matplotlib").use("Agg")
    report = inbetween.evaluate(encoded, adapters="prior")
    axes = inbetween.plot_curve(report)
    assert [line.get_label() for line in axes.lines] == ["lerp", "slerp", "cubic", "prior"]
    axes = inbetween.plot_curve(report, methods=["nearest"])
    assert [line.get_label() for line in axes.lines] == ["nearest"]
    with pytest.raises(errors.ArgumentError):
        inbetween.plot_curve(report, "beauty")
    with pytest.raises(errors.ArgumentError, match="hope"):
        inbetween.plot_curve(report, methods=["hope"])


def small(tmp_path):
    """Latents of a space of our own, which train in no time."""
    t = np.arange(60)[:, None] / 10
    for i in range(4):
        z = np.concatenate([np.sin(t + i), np.cos(t * 1.3 + i), t * 0 + i, np.sin(2 * t)], axis=1)
        LatentFile.write(tmp_path / "data" / f"{i}.h5", z, space="mine", fps=10)


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    small(tmp_path)
    return tmp_path


def train(data, **more):
    return inbetween.train(data / "data", data / "run", **{**dict(preset="toaster", threads=1, batch=16), **more})


def test_train_and_resume(data, caplog):
    seen = []
    with caplog.at_level(logging.INFO, "inbetween"):
        first = train(data, steps=30, log_seconds=0.001, progress=seen.append)
    assert first.step == 30 and first.parameters > 0 and first.train_videos + first.valid_videos == 4
    assert seen and seen[-1].step <= 30 and all(a.step <= b.step for a, b in zip(seen, seen[1:]))
    with pytest.raises(errors.Error):
        train(data, steps=60)  # there is a run
    again = train(data, steps=60, resume=True)
    assert again.step == 60 and again.seconds > first.seconds
    with inbetween.Adapter.load(again.adapter) as adapter:
        assert adapter.info.space_id == "mine"
    report = inbetween.evaluate(data / "data", adapters=again.adapter, gaps=4)
    assert report["gaps"][0]["mean"]["adapter"]["skill"] is not None


def test_train_refuses(data, encoded):
    for bad in (dict(), dict(steps=1, minutes=1), dict(steps=5, preset="huge"), dict(steps=5, lr=float("nan")), dict(steps=5, gaps=(9, 3))):
        with pytest.raises(errors.Error):
            train(data, **bad)
    with pytest.raises(errors.MismatchError):
        inbetween.train([data / "data", encoded], data / "run", steps=5, preset="toaster")
    with pytest.raises((TypeError, OverflowError)):
        train(data, steps=5.5)
    assert not (data / "run").exists()


def test_ctrl_c_keeps_the_run(data):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
    timer = threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        train(data, minutes=5)
    timer.join()
    assert (data / "run" / "state.h5").is_file()
    seen = []

    def enough(p):
        seen.append(p)
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        train(data, resume=True, log_seconds=0.001, progress=enough)
    assert len(seen) == 1 and seen[0].step > 1


def test_progress_bar(data):
    pytest.importorskip("tqdm")
    import contextlib
    import io

    with contextlib.redirect_stderr(io.StringIO()) as text:
        train(data, steps=10, progress=True)
    assert "run:" in text.getvalue()


@pytest.mark.parametrize("threads, kind", [(-1, errors.ArgumentError), (1 << 31, errors.ArgumentError), (1.5, TypeError), ("2", TypeError)])
def test_threads_are_few(data, films, threads, kind):
    """OpenMP ends the process where it cannot have as many as are asked for."""
    for call in (
        lambda: train(data, steps=1, threads=threads),
        lambda: inbetween.evaluate(data / "data", threads=threads),
        lambda: inbetween.encode_file(films[0], data / "o.h5", threads=threads),
        lambda: inbetween.render(films[:2], data / "o.mp4", threads=threads),
        lambda: Renderer(64, 48, threads=threads),
        lambda: inbetween.Space("patch", threads=threads),
    ):
        with pytest.raises(kind, match="threads"):
            call()


@pytest.mark.parametrize("size", [[], (16,), "64x48", b"xx", (16, 16, 16), (16.5, 16)])
def test_sizes_are_two_numbers(films, tmp_path, size):
    with pytest.raises(TypeError):
        inbetween.encode_file(films[0], tmp_path / "o.h5", size=size)
    with pytest.raises(TypeError):
        inbetween.render(films[:2], tmp_path / "o.mp4", size=size)


def test_space_of_embeddings_is_a_space(tmp_path):
    with pytest.raises(TypeError, match="space"):
        inbetween.render(["text:a", "text:b"], tmp_path / "o.safetensors", space=5)


def test_warnings_point_at_the_caller():
    job = Job()

    def function(_error):
        job._events.put(Sentence("warning: odd"))
        return 0

    def long_call():
        job.run(function)

    with pytest.warns(UserWarning, match="^odd$") as caught:
        line = sys._getframe().f_lineno + 1
        long_call()
    assert (caught[0].filename, caught[0].lineno) == (__file__, line)
