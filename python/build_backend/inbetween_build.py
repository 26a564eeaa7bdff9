"""Builds the package (PEP 517): the library with CMake, then a wheel of it and the Python files.

It needs nothing from PyPI where there is a CMake. The library's own needs, such as FFmpeg, HDF5 and OpenBLAS, come from the system, when it
is built and when it runs; the wheel is for systems with the same versions of them. In the environment: CMAKE_ARGS are further arguments of
CMake, INBETWEEN_BUILD is a build folder whose library is taken as it is.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sysconfig
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent  # the folder of pyproject.toml
PACKAGE = HERE / "inbetween"
WHEEL_LICENSE = "MIT AND GPL-3.0-or-later"  # its library is linked against FFmpeg, which Debian builds under the GPL
PACKED_SOURCE = "libinbetween"  # of an sdist: where the library's source lies
# Of the library's source tree: what an sdist takes.
NOT_SOURCE = {"docs", "examples", "python", "tests", "tools", "integrations"}
SOURCE_ENDINGS = {".c", ".h", ".cmake", ".in", ".txt"}


def source_tree() -> Path:
    """The library's source: in an sdist beside the package, in a checkout around it."""
    for place in (HERE / PACKED_SOURCE, HERE.parent):
        if (place / "cmake" / "install.cmake").is_file():
            return place
    raise SystemExit(f"{HERE}: cannot be built: the library's source is neither in {PACKED_SOURCE}/ nor one folder up")


def version() -> str:
    """That of base/version.h."""
    text = (source_tree() / "base" / "version.h").read_text(encoding="utf-8")
    return ".".join(re.search(rf"#define IB_VERSION_{part} (\d+)", text).group(1) for part in ("MAJOR", "MINOR", "PATCH"))


def metadata(kind: str) -> str:
    """Core metadata, version 2.4, of the "sdist" or the "wheel"."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = ["Metadata-Version: 2.4", f"Name: {project['name']}", f"Version: {version()}", f"Summary: {project['description']}"]
    lines += [f"License-Expression: {project['license'] if kind == 'sdist' else WHEEL_LICENSE}"]
    lines += [f"License-File: {name}" for name in licenses()] + [f"Requires-Python: {project['requires-python']}"]
    lines += [f"Classifier: {one}" for one in project["classifiers"]]
    lines += [f"Requires-Dist: {one}" for one in project["dependencies"]]
    for extra, needs in project["optional-dependencies"].items():
        lines += [f"Provides-Extra: {extra}"] + [f'Requires-Dist: {one}; extra == "{extra}"' for one in needs]
    readme = (HERE / project["readme"]).read_text(encoding="utf-8")
    return "\n".join(lines) + f"\nDescription-Content-Type: text/markdown\n\n{readme}"


def licenses() -> dict[str, bytes]:
    """The licences' texts, by the names that they have in an sdist and below a wheel's licenses/."""
    texts = {"LICENSE": (source_tree() / "LICENSE").read_bytes()}
    return texts | {f"LICENSES/{path.name}": path.read_bytes() for path in sorted((HERE / "LICENSES").iterdir())}


def declarations() -> str:
    """What inbetween/_declarations.py makes of the headers."""
    spec = importlib.util.spec_from_file_location("_declarations", PACKAGE / "_declarations.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.from_tree(source_tree())


def runs(program: str, environment: dict[str, str]) -> bool:
    try:
        return subprocess.run([program, "--version"], env=environment, capture_output=True).returncode == 0
    except OSError:
        return False


def cmake_environment() -> dict[str, str] | None:
    """Of the processes that run CMake, or None where it does not run. A CMake that pip installed is a Python script: in pip's build
    environment, which is in PYTHONPATH, it only finds itself if it was installed there."""
    for hidden in ((), ("PYTHONPATH",)):
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        if runs("cmake", environment):
            if runs("ninja", environment):
                environment.setdefault("CMAKE_GENERATOR", "Ninja")
            return environment
    return None


def get_requires_for_build_wheel(config_settings: object = None) -> list[str]:
    if os.environ.get("INBETWEEN_BUILD"):
        return []
    environment = cmake_environment()
    has_builder = shutil.which("make") or (environment and "CMAKE_GENERATOR" in environment)
    return ([] if environment else ["cmake>=3.25"]) + ([] if has_builder else ["ninja"])


def library(folder: Path) -> Path:
    """The shared library, built in `folder` unless INBETWEEN_BUILD names another one."""
    given = os.environ.get("INBETWEEN_BUILD")
    if not given:
        options = ["-DCMAKE_BUILD_TYPE=Release", "-DINBETWEEN_SHARED=ON"]
        options += [f"-DINBETWEEN_{part}=OFF" for part in ("MPI", "INSTALL", "PAGES", "TESTS")]
        more = os.environ.get("CMAKE_ARGS", "").split()
        environment = cmake_environment()
        if not environment:
            raise SystemExit("inbetween cannot be built: there is no cmake that runs")
        subprocess.check_call(["cmake", "-S", source_tree(), "-B", folder, *options, *more], env=environment)
        jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", str(len(os.sched_getaffinity(0))))
        subprocess.check_call(["cmake", "--build", folder, "--target", "inbetween_shared", "--parallel", jobs], env=environment)
    return (Path(given) if given else folder).resolve() / "libinbetween.so"


def soname() -> str:
    major, minor, _ = version().split(".")
    return "libinbetween.so." + (f"0.{minor}" if major == "0" else major)


def write_wheel(path: Path, files: dict[str, bytes], info: str) -> None:
    """files: by their names in the wheel; RECORD is added to them."""
    record = io.StringIO()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in [*files.items(), (f"{info}/RECORD", b"")]:
            if name.endswith("/RECORD"):
                record.write(f"{name},,\n")
                data = record.getvalue().encode()
            else:
                digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                record.write(f"{name},sha256={digest},{len(data)}\n")
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o100644 << 16
            wheel.writestr(entry, data)


def wheel_tag() -> str:
    return "py3-none-" + sysconfig.get_platform().replace("-", "_").replace(".", "_")


def wheel_info() -> dict[str, bytes]:
    """What a wheel says of itself, but RECORD, by the names in its .dist-info."""
    files = {"METADATA": metadata("wheel").encode()}
    files["WHEEL"] = f"Wheel-Version: 1.0\nGenerator: inbetween_build\nRoot-Is-Purelib: false\nTag: {wheel_tag()}\n".encode()
    return files | {f"licenses/{name}": text for name, text in licenses().items()}


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: object = None) -> str:
    """So that pip, which asks for it before the wheel, does not build the library twice."""
    info = f"inbetween-{version()}.dist-info"
    for name, data in wheel_info().items():
        path = Path(metadata_directory) / info / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return info


def build_wheel(wheel_directory: str, config_settings: object = None, metadata_directory: object = None) -> str:
    info, name = f"inbetween-{version()}.dist-info", f"inbetween-{version()}-{wheel_tag()}.whl"
    files = {f"inbetween/{path.name}": path.read_bytes() for path in sorted(PACKAGE.iterdir()) if path.suffix in (".py", ".typed")}
    files["inbetween/declarations.h"] = declarations().encode()
    with tempfile.TemporaryDirectory() as folder:
        files[f"inbetween/lib/{soname()}"] = library(Path(folder)).read_bytes()
    for inner, path in models().items():  # where the library looks for them: base/beside.h
        files[f"inbetween/share/inbetween/{inner}"] = path.read_bytes()
    files |= {f"{info}/{inner}": data for inner, data in wheel_info().items()}
    write_wheel(Path(wheel_directory) / name, files, info)
    return name


def models() -> dict[str, Path]:
    """What comes with the program: the default adapter, the tiny world."""
    folder = source_tree() / "models"
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def sdist_files() -> dict[str, bytes]:
    """By their names in the sdist: the package's folder, and the library's source without tests and documents."""
    source = source_tree()
    found = {}
    for path in sorted(HERE.rglob("*")):
        inner = path.relative_to(HERE)
        if path.is_file() and inner.parts[0] != PACKED_SOURCE and not any(p.startswith((".", "__pycache__")) for p in inner.parts):
            found[str(inner)] = path.read_bytes()
    folders = [p for p in sorted(source.iterdir()) if p.is_dir() and p.name not in NOT_SOURCE and not p.name.startswith((".", "build"))]
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix in SOURCE_ENDINGS:
                found[f"{PACKED_SOURCE}/{path.relative_to(source)}"] = path.read_bytes()
    found |= {f"{PACKED_SOURCE}/models/{name}": path.read_bytes() for name, path in models().items()}
    for name in ("CMakeLists.txt", "LICENSE"):
        found[f"{PACKED_SOURCE}/{name}"] = (source / name).read_bytes()
    return found


def build_sdist(sdist_directory: str, config_settings: object = None) -> str:
    base = f"inbetween-{version()}"
    files = sdist_files()
    files["PKG-INFO"] = metadata("sdist").encode()
    files |= licenses()
    with tarfile.open(Path(sdist_directory) / f"{base}.tar.gz", "w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"{base}/{name}")
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return f"{base}.tar.gz"
