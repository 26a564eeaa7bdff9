"""The sdist, the wheel made from it, and that what is installed from it runs by itself."""

import base64
import csv
import email
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from inbetween import _declarations, version
from inbetween._library import lib_path

ROOT = _declarations.source_tree()
pytestmark = pytest.mark.skipif(ROOT is None or not Path(lib_path).is_file(), reason="needs the source tree and a build folder")

USE = """
import inbetween, numpy as np
from inbetween import _declarations, _library
assert _declarations.PACKED.is_file() and _library.lib_path.startswith(str(_declarations.HERE)), _library.lib_path
with inbetween.Adapter.load("default") as adapter:
    z = np.random.default_rng(1).standard_normal((2, 3, 4, 96)).astype(np.float32)
    assert adapter.between(z[0], z[1], 0.5).shape == (3, 4, 96)
assert inbetween.encode(np.zeros((1, 64, 64, 3), np.uint8), space="clip:tinyworld").shape == (1, 128)
print(inbetween.version())
"""


def hook(folder, call, **environment):
    """A hook of the backend, as pip calls it."""
    code = f"import sys; sys.path.insert(0, 'build_backend'); import inbetween_build; print(inbetween_build.{call})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env={**os.environ, **environment}, check=True, capture_output=True, text=True
    )
    return done.stdout.split()[-1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The folder of an unpacked sdist."""
    folder = tmp_path_factory.mktemp("sdist")
    name = hook(ROOT / "python", f"build_sdist({str(folder)!r})")
    with tarfile.open(folder / name) as archive:
        archive.extractall(folder)  # our own; Debian 12's Python does not know filters
    return folder / f"inbetween-{version()}"


def test_sdist_has_all_that_cmake_wants(unpacked, tmp_path):
    listed = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    for name in (
        "pyproject.toml",
        "PKG-INFO",
        "LICENSE",
        "LICENSES/GPL-3.0-or-later.txt",
        "README.md",
        "inbetween/py.typed",
        "tests/conftest.py",
        "libinbetween/base/api.h",
    ):
        assert name in listed
    said = email.message_from_bytes((unpacked / "PKG-INFO").read_bytes())
    assert said["License-Expression"] == "MIT" and said["Metadata-Version"] == "2.4"
    done = subprocess.run(
        ["cmake", "-S", unpacked / "libinbetween", "-B", tmp_path, "-DINBETWEEN_TESTS=OFF", "-DINBETWEEN_INSTALL=OFF"],
        env={"CMAKE_GENERATOR": "Ninja" if shutil.which("ninja") else "Unix Makefiles", **os.environ}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


SHIM = """#!{python}
import os, sys
if "PYTHONPATH" in os.environ:
    sys.exit("ModuleNotFoundError: No module named 'cmake'")
os.execv("/bin/true", ["true"])
"""


def test_what_pip_has_to_fetch(unpacked, tmp_path):
    """A CMake that pip installed does not find itself in pip's build environment; one that is not there is asked for."""
    (tmp_path / "cmake").write_text(SHIM.format(python=sys.executable))
    (tmp_path / "cmake").chmod(0o755)
    (tmp_path / "make").symlink_to("/bin/true")
    asked = hook(unpacked, "get_requires_for_build_wheel()", PATH=str(tmp_path), PYTHONPATH="/nowhere")
    assert asked == "[]"
    (tmp_path / "cmake").unlink()
    assert hook(unpacked, "get_requires_for_build_wheel()", PATH=str(tmp_path)) == "['cmake>=3.25']"
    (tmp_path / "make").unlink()
    assert hook(unpacked, "get_requires_for_build_wheel()[1]", PATH=str(tmp_path)) == "ninja"
    assert hook(unpacked, "get_requires_for_build_wheel()", PATH=str(tmp_path), INBETWEEN_BUILD="build") == "[]"


def test_metadata_before_the_wheel(unpacked, tmp_path):
    info = hook(unpacked, f"prepare_metadata_for_build_wheel({str(tmp_path)!r})")
    name = hook(unpacked, f"build_wheel({str(tmp_path)!r})", INBETWEEN_BUILD=str(Path(lib_path).parent))
    with zipfile.ZipFile(tmp_path / name) as wheel:
        packed = {name: wheel.read(name) for name in wheel.namelist() if name.startswith(info) and not name.endswith("/RECORD")}
    assert packed == {str(path.relative_to(tmp_path)): path.read_bytes() for path in (tmp_path / info).rglob("*") if path.is_file()}


def test_wheel_runs_by_itself(unpacked, tmp_path):
    name = hook(unpacked, f"build_wheel({str(tmp_path)!r})", INBETWEEN_BUILD=str(Path(lib_path).parent))
    assert name.startswith(f"inbetween-{version()}-py3-none-linux_")
    again = tmp_path / "again"
    again.mkdir()
    hook(ROOT / "python", f"build_wheel({str(again)!r})", INBETWEEN_BUILD=str(Path(lib_path).parent))
    assert (again / name).read_bytes() == (tmp_path / name).read_bytes()
    with zipfile.ZipFile(tmp_path / name) as wheel:
        info = f"inbetween-{version()}.dist-info"
        rows = list(csv.reader(wheel.read(f"{info}/RECORD").decode().splitlines()))
        assert {row[0] for row in rows} == set(wheel.namelist())
        for file, digest, size in rows[:-1]:
            data = wheel.read(file)
            assert digest == "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert int(size) == len(data)
        said = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
        assert (said["Version"], said["License-Expression"]) == (version(), "MIT AND GPL-3.0-or-later")
        texts = {name: wheel.read(f"{info}/licenses/{name}").decode() for name in said.get_all("License-File")}
        assert texts["LICENSE"] == (ROOT / "LICENSE").read_text()
        assert "GNU GENERAL PUBLIC LICENSE\n                       Version 3" in texts["LICENSES/GPL-3.0-or-later.txt"]
        assert "How to Apply These Terms" in texts["LICENSES/GPL-3.0-or-later.txt"]  # to its end
    target = tmp_path / "installed"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", target, tmp_path / name], check=True)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("INBETWEEN_")}
    done = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, env={**clean, "PYTHONPATH": str(target)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == version() + "\n"
