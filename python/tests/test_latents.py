"""Spaces, slerp and latent files."""

import hashlib
import threading

import numpy as np
import pytest

import inbetween
from inbetween import LatentFile, LatentWriter, Shape, Space, errors, slerp


def test_version_is_that_of_the_declarations():
    assert inbetween.version().count(".") == 2


def test_slerp_is_on_the_great_circle():
    z0, z1 = np.array([2, 0, 0], np.float32), np.array([0, 2, 0], np.float32)
    np.testing.assert_allclose(slerp(z0, z1, 0.5), [2**0.5, 2**0.5, 0], atol=1e-6)
    many = slerp(z0, z1, [0, 0.25, 1])
    assert many.shape == (3, 3) and many.dtype == np.float32
    np.testing.assert_array_equal(many[0], z0)
    np.testing.assert_array_equal(many[2], z1)
    np.testing.assert_allclose(np.linalg.norm(many, axis=1), 2, atol=1e-6)


@pytest.mark.parametrize(
    "z0, z1, t, kind",
    [
        (np.zeros(3, int), np.zeros(3), 0.5, TypeError),
        (np.zeros(3, complex), np.zeros(3), 0.5, TypeError),
        (["a"], ["b"], 0.5, TypeError),
        (np.zeros(3), np.zeros(4), 0.5, errors.ArgumentError),
        (np.zeros((2, 0)), np.zeros((2, 0)), 0.5, errors.ArgumentError),
        (np.zeros(3), np.zeros(3), 1.5, errors.ArgumentError),
        (np.zeros(3), np.zeros(3), np.nan, errors.NonfiniteError),
        (np.zeros(3), np.zeros(3), "half", TypeError),
        (np.array([np.nan, 0]), np.zeros(2), 0.5, errors.NonfiniteError),
        (np.array([1e300, 0]), np.zeros(2), 0.5, errors.NonfiniteError),
    ],
)
def test_slerp_refuses(z0, z1, t, kind):
    with pytest.raises(kind):
        slerp(z0, z1, t)


def test_slerp_of_patch_wants_its_tokens():
    with Space("patch") as space, pytest.raises(errors.ArgumentError, match="96"):
        slerp(np.zeros(5), np.ones(5), 0.5, space_id=space.id)


def test_patch_space_goes_round():
    picture = np.full((32, 48, 3), 90, np.uint8)
    picture[8:20, 10:30] = (200, 40, 60)
    with Space("patch") as space:
        assert space.decodes and not space.reads_text
        z = space.encode(picture)
        assert z.shape == space.shape(48, 32).array == (4, 6, 96)
        back = space.decode(z, 48, 32)
        assert np.abs(back.astype(int) - picture).mean() < 4
        batch = space.encode(np.stack([picture, picture]))
        assert batch.shape == (2, 4, 6, 96)
        np.testing.assert_array_equal(batch[1], z)
        with pytest.raises(errors.UnsupportedError):
            space.encode_text("a cat")
        with pytest.raises(errors.MismatchError):
            space.decode(z, 64, 64)
        with pytest.raises(TypeError):
            space.encode(picture.astype(np.float32))
        with pytest.raises(errors.ArgumentError):
            space.encode(picture[..., :2])
    with pytest.raises(errors.ClosedError):
        space.encode(picture)
    space.close()


def test_space_refuses():
    with pytest.raises(errors.ArgumentError):
        Space("nowhere")
    with pytest.raises(errors.Error):
        Space("clip:/nowhere")
    with pytest.raises(errors.ArgumentError):
        Space("patch", fit="stretch")
    with pytest.raises(TypeError):
        Space("patch", threads=1.5)
    with pytest.raises(ValueError):
        Space("pa\0tch")


@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 3, 7)])
def test_file_goes_round(tmp_path, shape):
    path = tmp_path / "mine.h5"
    z = np.random.default_rng(1).standard_normal((9,) + shape).astype(np.float16)
    LatentFile.write(path, z, space="mine:v1", fps=12, cuts=np.arange(9) == 5, source="a/b.mp4")
    with LatentFile(path) as file:
        assert len(file) == 9 and file.space_id == "mine:v1" and file.shape.array == shape
        assert file.info.source_sha256 == hashlib.sha256(z.tobytes()).hexdigest()
        assert file.info.fps == 12 and file.info.source == "b.mp4" and not file.guide_windows
        np.testing.assert_array_equal(file.cuts, [i in (0, 5) for i in range(9)])
        np.testing.assert_allclose(file.times, np.arange(9) / 12)
        np.testing.assert_array_equal(file.read(), z)
        np.testing.assert_array_equal(file[2:4], z[2:4])
        np.testing.assert_array_equal(file[::-3], z[::-3])
        np.testing.assert_array_equal(file[-1], z[-1])
        np.testing.assert_array_equal(np.stack(list(file)), z)
        assert file[4:2].shape == (0,) + shape and file[4:2:2].shape == (0,) + shape
        np.testing.assert_array_equal(file.windows(2), [0, 2, 5])
        assert file.read_guides(0, 0).pictures.shape == (0, 2) + shape
        with pytest.raises(IndexError):
            file[9]
        with pytest.raises(errors.ArgumentError):
            file.read(3, 7)
        with pytest.raises(errors.ArgumentError):
            file.read_guides(0, 1)
    with pytest.raises(errors.ClosedError, match="mine.h5"):
        file.read()


def test_file_refuses_others(tmp_path):
    (tmp_path / "other.h5").write_bytes(b"no latents")
    with pytest.raises(errors.FormatError, match="other.h5"):
        LatentFile(tmp_path / "other.h5")
    with pytest.raises(errors.FileError, match="none.h5") as caught:
        LatentFile(tmp_path / "none.h5")
    assert isinstance(caught.value, OSError)
    with pytest.raises(TypeError):
        LatentFile(7.5)


@pytest.mark.parametrize(
    "change, kind",
    [
        (dict(latents=np.full((2, 4), np.nan)), errors.NonfiniteError),
        (dict(latents=np.full((2, 4), 1e6)), errors.NonfiniteError),
        (dict(latents=np.zeros((0, 4))), errors.EmptyError),
        (dict(latents=np.zeros((2, 0))), errors.ArgumentError),
        (dict(latents=np.zeros(4)), errors.ArgumentError),
        (dict(latents=np.zeros((2, 4), int)), TypeError),
        (dict(fps=0), errors.ArgumentError),
        (dict(fps=np.nan), errors.Error),
        (dict(times=[1, 0]), errors.ArgumentError),
        (dict(times=[1]), errors.ArgumentError),
        (dict(cuts=[True]), errors.ArgumentError),
        (dict(space=""), errors.ArgumentError),
        (dict(space="x" * 300), errors.ArgumentError),
        (dict(space=5), TypeError),
        (dict(space="patch:dct8+4:v1"), errors.MismatchError),
        (dict(layout="row"), errors.ArgumentError),
        (dict(layout="grid"), errors.ArgumentError),
        (dict(picture_size=(0, 5)), errors.ArgumentError),
        (dict(source="x" * 600), errors.ArgumentError),
    ],
)
def test_write_refuses_and_leaves_nothing(tmp_path, change, kind):
    given = dict(latents=np.zeros((2, 4)), space="mine", fps=1)
    LatentFile.write(tmp_path / "good.h5", **given)
    given.update(change)
    with pytest.raises(kind):
        LatentFile.write(tmp_path / "bad.h5", **given)
    assert [p.name for p in tmp_path.iterdir()] == ["good.h5"]


def test_writer_in_pieces(tmp_path):
    with Space("patch") as space:
        with LatentWriter(tmp_path / "a.h5", space.shape(24, 16), space=space, fps=5, picture_size=(24, 16)) as writer:
            writer.append(np.zeros((2, 3, 96)), 0.0)
            with pytest.raises(errors.MismatchError):
                LatentWriter(tmp_path / "b.h5", Shape("single", 1, 1, 4), space=space, fps=5)
    with pytest.raises(errors.ClosedError):
        writer.append(np.zeros((2, 3, 96)), 1.0)
    with pytest.raises(errors.ArgumentError):
        LatentWriter(tmp_path / "d.h5", Shape("single", 1, 1, 4), space="x", fps=5, source_sha256="abc")
    with pytest.raises(KeyError), LatentWriter(tmp_path / "c.h5", Shape("single", 1, 1, 4), space="x", fps=5) as writer:
        writer.append(np.zeros(4), 0.0)
        raise KeyError
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]
    LatentFile(tmp_path / "a.h5").close()


def test_two_threads_on_one_file(tmp_path):
    LatentFile.write(tmp_path / "a.h5", np.ones((50, 4)), space="x", fps=5)
    file = LatentFile(tmp_path / "a.h5")
    seen = []

    def read():
        try:
            seen.append(file.read().sum())
        except errors.BusyError as problem:
            seen.append(problem)

    with file._handle.use():  # as long as this thread is at it
        other = threading.Thread(target=read)
        other.start()
        other.join()
        with pytest.raises(errors.BusyError):
            file.close()
    read()
    assert isinstance(seen[0], errors.BusyError) and seen[1] == 200
