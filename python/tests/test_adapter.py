"""Adapters: in-betweens of batches and sequences, and what they refuse."""

import sys
import threading

import numpy as np
import pytest

from inbetween import Adapter, LatentFile, Space, errors, slerp
from inbetween import adapter as adapter_module
from inbetween._library import ffi, lib

WIDTH = 24
SHAPES = {"single": (WIDTH,), "sequence": (5, WIDTH), "grid": (3, 4, WIDTH)}


def latents(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def make(layout="single", guide=""):
    return Adapter.new("toaster", "mine", layout, WIDTH, guide=guide)


def learned(path, layout="single", guide=""):
    """One whose answers are not slerp's: every weight moved a little, as a file."""
    from safetensors_by_hand import moved

    with make(layout, guide) as adapter:
        adapter.save(path)
    moved(path)
    return Adapter.load(path)


@pytest.mark.parametrize("layout", SHAPES)
def test_untrained_is_slerp(layout):
    shape = SHAPES[layout]
    with make(layout) as adapter:
        z0, z1 = latents(*shape), latents(*shape, seed=2)
        z = adapter.between(z0, z1, [0, 0.3, 1])
        assert z.shape == (3,) + shape and z.dtype == np.float32
        np.testing.assert_array_equal(z[0], z0)
        np.testing.assert_array_equal(z[2], z1)
        np.testing.assert_allclose(z[1], slerp(z0, z1, 0.3), atol=1e-6)


@pytest.mark.parametrize("layout", SHAPES)
def test_every_way_to_ask_gives_the_same(tmp_path, layout):
    shape = SHAPES[layout]
    with learned(tmp_path / "a.safetensors", layout) as adapter:
        z0, z1, t = latents(6, *shape), latents(6, *shape, seed=2), np.array([0.25, 0.5, 0.9])
        gaps = np.linspace(0.1, 1, 6)
        one_by_one = np.stack([[adapter.between(a, b, p, gap_seconds=g) for p in t] for a, b, g in zip(z0, z1, gaps)])
        assert np.abs(one_by_one[0] - slerp(z0[0], z1[0], t)).max() > 1e-4
        close = dict(rtol=0, atol=2e-6)
        np.testing.assert_allclose(adapter.between(z0, z1, t, gap_seconds=gaps), one_by_one, **close)
        np.testing.assert_allclose(adapter.between(z0, z1, np.tile(t, (6, 1)), gap_seconds=gaps), one_by_one, **close)
        np.testing.assert_allclose(adapter.between(z0, z1, 0.5, gap_seconds=gaps), one_by_one[:, 1], **close)
        folded = adapter.between(z0.reshape(2, 3, *shape), z1.reshape(2, 3, *shape), t, gap_seconds=gaps.reshape(2, 3))
        np.testing.assert_allclose(folded, one_by_one.reshape(2, 3, 3, *shape), **close)
        fanned = adapter.between(z0[0], z1, 0.5, gap_seconds=0.1)
        np.testing.assert_allclose(fanned[0], one_by_one[0, 1], **close)
        out = np.empty((6,) + shape, np.float32)
        assert adapter.between(z0, z1, 0.5, gap_seconds=gaps, out=out) is out
        np.testing.assert_allclose(out, one_by_one[:, 1], **close)
        backwards = adapter.between(z1[0], z0[0], 0.75, gap_seconds=0.1)
        np.testing.assert_allclose(backwards, one_by_one[0, 0], **close)
        adapter.trust = 0
        np.testing.assert_allclose(adapter.between(z0, z1, 0.5), np.stack([slerp(a, b, 0.5) for a, b in zip(z0, z1)]), **close)


def test_more_than_one_call_holds(tmp_path):
    with learned(tmp_path / "a.safetensors") as adapter:
        z0, z1 = latents(1000, WIDTH), latents(1000, WIDTH, seed=2)
        z = adapter.between(z0, z1, 0.5)
        np.testing.assert_allclose(z[999], adapter.between(z0[999], z1[999], 0.5), atol=2e-6)
        assert adapter.between(z0[:0], z1[:0], 0.5).shape == (0, WIDTH)
        assert adapter.between(z0[0], z1[0], []).shape == (0, WIDTH)


def test_calls_of_one_kind_share_nothing(tmp_path):
    """They share their requests' array."""
    with learned(tmp_path / "a.safetensors") as adapter:
        z, answers = latents(4, 2, WIDTH), []
        for _ in range(2):
            answers.append(adapter.between(z[0], z[1], 0.25, gap_seconds=0.1))
            with pytest.raises(errors.MismatchError):
                adapter.between(z[2], z[3], 0.75, gap_seconds=[0.5, 0.5, 0.5])
            answers.append(adapter.between(z[2], z[3], 0.75, gap_seconds=0.5))
            answers.append(adapter.between(z[2], z[3], [0.75], gap_seconds=[0.1, 0.5])[:, 0])
        for first, again in zip(answers[:3], answers[3:]):
            np.testing.assert_array_equal(first, again)
        assert np.abs(answers[1] - answers[0]).max() > 1e-2
        np.testing.assert_allclose(answers[2][1], answers[1][1], atol=2e-6)
        assert np.abs(answers[2][0] - answers[1][0]).max() > 1e-5


def test_halves_and_doubles_are_converted():
    with make() as adapter:
        z0, z1 = latents(2, WIDTH).astype(np.float16), latents(2, WIDTH, seed=2).astype(">f8")
        z = adapter.between(z0, z1, 0.5)
        np.testing.assert_array_equal(z, adapter.between(z0.astype(np.float32), z1.astype(np.float32), 0.5))
        sliced = np.asfortranarray(latents(2, WIDTH))[:, ::-1]
        np.testing.assert_array_equal(adapter.between(sliced, sliced, 0.5), sliced)


def test_no_copy(monkeypatch):
    """What the library gets are the addresses of the caller's own arrays."""
    z0, z1, out, seen = latents(8, WIDTH), latents(8, WIDTH, seed=2), np.empty((3, WIDTH), np.float32), []
    real = adapter_module.call

    def call(function, *arguments):
        if function is lib.ib_adapter_predict:
            request, to = arguments[2], arguments[4]
            seen.extend(int(ffi.cast("uintptr_t", p)) for p in (request[1].z0, request[1].z1, to))
        return real(function, *arguments)

    monkeypatch.setattr(adapter_module, "call", call)
    with make() as adapter:
        adapter.between(z0[2:5], z1[5:], 0.5, out=out)
    assert seen == [z0[3:].ctypes.data, z1[6:].ctypes.data, out.ctypes.data]


def test_guides(tmp_path):
    z0, z1 = latents(3, WIDTH), latents(3, WIDTH, seed=2)
    pictures, features = latents(3, 2, 2, WIDTH, seed=3), np.abs(latents(3, 2, 8, seed=4)) * 0.1
    with learned(tmp_path / "a.safetensors", guide="prior:x y") as adapter:
        seen = adapter.between(z0, z1, [0.25, 0.5], guide=(pictures, features))
        assert np.abs(seen - adapter.between(z0, z1, [0.25, 0.5])).max() > 1e-4
        one = adapter.between(z0[1], z1[1], 0.5, guide=(pictures[1, 1], features[1, 1]))
        np.testing.assert_allclose(one, seen[1, 1], atol=2e-6)
        for bad in ((pictures[:2], features), (pictures, features[..., :7]), (pictures[..., :1], features)):
            with pytest.raises(errors.MismatchError):
                adapter.between(z0, z1, [0.25, 0.5], guide=bad)
        with pytest.raises(errors.NonfiniteError):
            adapter.between(z0, z1, [0.25, 0.5], guide=(pictures * np.nan, features))
        with pytest.raises(errors.ArgumentError):
            adapter.between(z0, z1, [0.25, 0.5], guide=(pictures, -features - 1))
    with make() as plain, pytest.raises(errors.MismatchError, match="without"):
        plain.between(z0, z1, [0.25, 0.5], guide=(pictures, features))


@pytest.mark.parametrize(
    "change, kind",
    [
        (dict(z0=np.zeros(WIDTH, int)), TypeError),
        (dict(z0=np.zeros(WIDTH, complex)), TypeError),
        (dict(z0=None), TypeError),
        (dict(z0=np.zeros(WIDTH - 1)), errors.MismatchError),
        (dict(z0=np.float32(1)), errors.MismatchError),
        (dict(z0=np.zeros((2, WIDTH)), z1=np.zeros((3, WIDTH))), errors.MismatchError),
        (dict(z1=np.zeros((2, WIDTH - 1))), errors.MismatchError),
        (dict(z1=np.full(WIDTH, np.nan)), errors.NonfiniteError),
        (dict(z1=np.full(WIDTH, np.inf)), errors.NonfiniteError),
        (dict(t=-0.1), errors.ArgumentError),
        (dict(t=1.1), errors.ArgumentError),
        (dict(t=np.nan), errors.NonfiniteError),
        (dict(t="x"), TypeError),
        (dict(t=np.zeros((4, 2))), errors.MismatchError),
        (dict(gap_seconds=0), errors.ArgumentError),
        (dict(gap_seconds=1e9), errors.ArgumentError),
        (dict(gap_seconds=[1, 2]), errors.MismatchError),
        (dict(out=np.zeros(WIDTH)), errors.ArgumentError),
        (dict(out=np.zeros(WIDTH + 1, np.float32)), errors.ArgumentError),
        (dict(out=[0.0] * WIDTH), errors.ArgumentError),
    ],
)
def test_between_refuses(change, kind):
    given = dict(z0=np.zeros(WIDTH), z1=np.ones(WIDTH), t=0.5)
    given.update(change)
    with make() as adapter, pytest.raises(kind):
        adapter.between(**given)


def test_out_is_no_input():
    z = latents(2, WIDTH)
    with make() as adapter, pytest.raises(errors.ArgumentError):
        adapter.between(z[0], z[1], 0.5, out=z[0])


def test_info_and_files(tmp_path):
    with make("sequence") as adapter:
        assert adapter.info.layout == "sequence" and adapter.info.width == WIDTH and adapter.info.strengths is None
        adapter.save(tmp_path / "a.safetensors", metadata={"note": "ü"})
        adapter.save(tmp_path / "half.safetensors", half=True)
        tensors = adapter.parameters()
        assert sum(p.size for p in tensors.values()) == adapter.info.parameters
    with Adapter.load(tmp_path / "a.safetensors") as again:
        assert again.info.metadata["note"] == "ü" and again.info.features == adapter.info.features
        for name, values in again.parameters().items():
            np.testing.assert_array_equal(values, tensors[name])
    with Adapter.load("prior") as prior, Space("patch") as space:
        assert prior.info.motion and not prior.info.metadata
        prior.check_space(space)
        z = latents(2, 3, 4, 96)
        assert prior.between(z[0], z[1], 0.5).shape == (3, 4, 96)
    whole = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(errors.FormatError, match="cut.safetensors"):
        Adapter.load(tmp_path / "cut.safetensors")
    with pytest.raises(errors.FileError):
        Adapter.load(tmp_path / "none.safetensors")
    with pytest.raises(errors.ArgumentError):
        Adapter.load("none")
    for bad in (("tiny", "x", "single", 4), ("toaster", "", "single", 4), ("toaster", "x", "row", 4), ("toaster", "x", "single", 0)):
        with pytest.raises(errors.ArgumentError):
            Adapter.new(*bad)


def test_another_space(tmp_path):
    LatentFile.write(tmp_path / "a.h5", latents(3, WIDTH), space="yours", fps=1)
    with make() as adapter, LatentFile(tmp_path / "a.h5") as file, Space("patch") as space:
        for other in (file, space, "yours"):
            with pytest.raises(errors.MismatchError, match="mine"):
                adapter.check_space(other)
        adapter.check_space("mine")


def test_closed():
    adapter = make()
    adapter.close()
    adapter.close()
    for call in (lambda: adapter.between(np.zeros(WIDTH), np.ones(WIDTH), 0.5), lambda: adapter.trust, adapter.parameters):
        with pytest.raises(errors.ClosedError):
            call()


def test_two_threads_on_one_adapter_raise_and_no_more():
    adapter, seen = make("sequence"), []
    z0, z1 = latents(200, 20, WIDTH), latents(200, 20, WIDTH, seed=2)
    right = adapter.between(z0, z1, 0.5)

    def work():
        for _ in range(5):
            try:
                seen.append(np.array_equal(adapter.between(z0, z1, 0.5), right))
            except errors.BusyError:
                seen.append(None)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 20 and True in seen and None in seen and False not in seen
    with adapter._handle.use(), pytest.raises(errors.BusyError):
        adapter.close()


def test_no_reference_is_kept():
    adapter, z = make(), latents(2, WIDTH)
    before = sys.getrefcount(z)
    adapter.between(z[0], z[1], 0.5)
    assert sys.getrefcount(z) == before
