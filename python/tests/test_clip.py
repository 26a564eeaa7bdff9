"""A space of embeddings: the tiny CLIP among the library's test fixtures."""

import numpy as np
import pytest
from conftest import moving

import inbetween
from inbetween import Adapter, LatentFile, Space, _declarations, errors

ROOT = _declarations.source_tree()
pytestmark = pytest.mark.skipif(ROOT is None, reason="needs the fixtures of the source tree")
TINY = f"clip:{ROOT}/tests/fixtures/clip-tiny"


def test_pictures_and_prompts():
    with Space(TINY) as space:
        assert space.reads_text and not space.decodes and space.id.startswith("clip:")
        z = space.encode(moving(3))
        assert z.shape == (3,) + space.shape(64, 48).array and z.ndim == 2
        np.testing.assert_allclose(space.encode(moving(3)[1]), z[1], atol=1e-6)
        text = space.encode_text("a cat")
        assert text.shape == z.shape[1:] and np.abs(text - space.encode_text("a dog")).max() > 1e-4
        with pytest.raises(errors.UnsupportedError):
            space.decode(z, 64, 48)
        with pytest.raises(TypeError):
            space.encode_text(b"a cat")
    with Space(TINY, tokens="penultimate") as space:
        assert space.encode(moving(1)).ndim == 3
        with pytest.raises(errors.UnsupportedError):
            space.encode_text("a cat")


def test_pictures_are_encoded_as_files_are(tmp_path):
    picture = moving(1)[0]
    inbetween.write_film(tmp_path / "a.png", [picture])
    with Space(TINY) as space:
        of_file, of_array = inbetween.encode(tmp_path / "a.png", space=space), space.encode(picture)
    np.testing.assert_allclose(of_file[0], of_array, atol=2e-3 * np.abs(of_array).max())  # the file's are halves


def test_guides_from_file_to_in_between(films, tmp_path):
    for film in films:
        r = inbetween.encode_file(film, tmp_path / f"{film.stem}.h5", space=TINY, guide="prior", guide_gaps=[4])
        assert r.guides == 3 * r.guide_windows > 0 and r.guide_model.startswith("prior:")
    made = inbetween.train(tmp_path, tmp_path / "run", steps=5, preset="toaster", threads=1, batch=8, gaps=(4, 4))
    with Adapter.load(made.adapter) as adapter, LatentFile(tmp_path / "a.h5") as file:
        assert adapter.info.guide.startswith("prior:")
        adapter.check_space(file)
        window = file.guide_windows[0]
        guide = file.read_guides(window.at, 3)
        assert guide.pictures.shape == (3, 2) + file.shape.array and guide.features.shape == (3, 8)
        z0, z1 = file[window.first], file[window.first + 4]
        z = adapter.between(z0, z1, [0.25, 0.5, 0.75], gap_seconds=4 / 12, guide=guide)
        assert z.shape == (3,) + file.shape.array
        with pytest.raises(errors.MismatchError):
            adapter.check_space("patch:dct8+4:v1")
    report = inbetween.evaluate(tmp_path, adapters=made.adapter, gaps=4)
    assert report["gaps"][0]["explanation"] is not None


def test_prompts_to_a_way(tmp_path):
    with Space(TINY) as space:
        r = inbetween.render(["text:a cat", "text:a dog"], tmp_path / "way.safetensors", space=space, frames=7)
        assert r.frames == 7
        with space._handle.use(), pytest.raises(errors.BusyError):
            inbetween.render(["text:a cat", "text:a dog"], tmp_path / "way.safetensors", space=space, frames=7)
    with pytest.raises(errors.Error):
        inbetween.render(["text:a cat", "text:a dog"], tmp_path / "none.safetensors", frames=7)
