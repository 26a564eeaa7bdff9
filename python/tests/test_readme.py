"""The README's Python runs as it stands there, but for the time that it trains."""

import numpy as np
import pytest
from conftest import moving
from pages import blocks, run

import inbetween
from inbetween import _declarations

ROOT = _declarations.source_tree()


@pytest.mark.skipif(ROOT is None, reason="needs the source tree")
def test_readme_runs(tmp_path, monkeypatch, films):
    page = ROOT / "README.md"
    before, section = page.read_text().split("## From Python\n")
    first, last = (text.count("\n") for text in (before, before + section.split("\n## ")[0]))
    film, train = ((at, block) for at, block in blocks(page) if first < at <= last + 1)
    assert film[1].count("\n") - film[1].count("\n\n") <= 10 and train[1].count("\n") <= 20 and "minutes=30" in train[1]
    monkeypatch.chdir(tmp_path)
    for name, picture in zip(("first.png", "last.png"), moving(2)):
        inbetween.write_film(name, [picture])
    (tmp_path / "videos").mkdir()
    for video in films:
        (tmp_path / "videos" / video.name).symlink_to(video)
    names = {}
    run(page, *film, names)
    made, same = (inbetween.encode(name, size=(64, 48)) for name in ("clip.mp4", "same.mp4"))
    assert made.shape == same.shape == (25, 6, 8, 96)
    off, way = (np.sqrt(np.square(d).mean()) for d in (made - same, made[0] - made[-1]))
    assert off < 0.3 * way, (off, way)  # one adapter, the same places; coded by other ways
    run(page, train[0], train[1].replace("minutes=30", "steps=2"), names)
    assert names["z"].shape == (3, 14, 24, 96)
    assert (tmp_path / "skill.png").is_file()
