"""The README's Python runs as it stands there, but for the time that it trains."""

import pytest
from conftest import moving

import inbetween
from inbetween import _declarations

ROOT = _declarations.source_tree()


@pytest.mark.skipif(ROOT is None, reason="needs the source tree")
def test_readme_runs(tmp_path, monkeypatch, films):
    section = (ROOT / "README.md").read_text().split("## From Python\n")[1].split("\n## ")[0]
    code = "\n".join(line[4:] for line in section.split("\n") if line.startswith("    "))
    assert "minutes=30" in code
    monkeypatch.chdir(tmp_path)
    for name, picture in zip(("first.png", "last.png"), moving(2)):
        inbetween.write_film(name, [picture])
    (tmp_path / "videos").mkdir()
    for film in films:
        (tmp_path / "videos" / film.name).symlink_to(film)
    names = {}
    exec(compile(code.replace("minutes=30", "steps=2"), "README.md", "exec"), names)
    assert names["z"].shape == (3, 14, 24, 96)
    assert (tmp_path / "clip.mp4").is_file() and (tmp_path / "skill.png").is_file()
