"""libinbetween in this process: where it is found, its errors as exceptions, handles that cannot be misused."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import Any, Callable, Self

import cffi

from ._declarations import declarations, source_tree
from .errors import BY_CODE, BusyError, ClosedError, Error, NoLibraryError

ffi = cffi.FFI()
_text = declarations()
ffi.cdef(_text)
ffi.cdef("void free(void *);")


def _version_of_declarations() -> tuple[str, str]:
    found = dict(re.findall(r"#define IB_VERSION_(MAJOR|MINOR) (\d+)", _text))
    return found["MAJOR"], found["MINOR"]


def _places(name: str) -> list[str]:
    """Where the library is looked for, in order."""
    chosen = os.environ.get("INBETWEEN_LIBRARY")
    if chosen:  # a file, or a build folder; an absolute path, by which the library finds what came with it
        place = Path(chosen) / "libinbetween.so" if Path(chosen).is_dir() else Path(chosen)
        return [str(place.absolute()) if place.exists() else chosen]
    places = [str(Path(__file__).resolve().parent / "lib" / name)]
    root = source_tree()
    if root is not None:
        places.append(str(root / "build" / name))
    return [place for place in places if os.path.exists(place)] + [name]


def _load() -> tuple[Any, str]:
    major, minor = _version_of_declarations()
    name = "libinbetween.so." + (f"0.{minor}" if major == "0" else major)
    reasons = []
    for place in _places(name):
        try:
            library = ffi.dlopen(place)
        except OSError as problem:
            reasons.append(str(problem))
            continue
        version = ffi.string(library.ib_version()).decode()
        if version.split(".")[:2] != [major, minor]:
            raise NoLibraryError(f"{place}: is version {version}: this package needs {major}.{minor}")
        return library, place
    raise NoLibraryError(f"{name}: cannot be loaded: {'; '.join(reasons)}")


lib, lib_path = _load()
lib.ib_ffmpeg_quiet()
libc = ffi.dlopen(None)


def version() -> str:
    """Of the library that runs: "MAJOR.MINOR.PATCH"."""
    return text_of(lib.ib_version())


def text_of(pointer: Any) -> str:
    """A C string, or an array of char; NULL is empty."""
    return str(ffi.string(pointer), "utf-8", "backslashreplace") if pointer else ""


def encoded(value: str | os.PathLike[str]) -> bytes:
    """A path or name as the library takes it. ValueError with a null character, TypeError for what is no path."""
    raw = os.fsencode(value)
    if b"\0" in raw:
        raise ValueError(f"{value!r}: has a null character in it")
    return raw


def raise_error(code: int, sentence: str) -> None:
    """Raises what belongs to one of the library's codes."""
    raise BY_CODE.get(code, Error)(sentence)


def call(function: Callable[..., int], *arguments: Any) -> int:
    """function(*arguments, ib_error *). Its result, >= 0; else its error is raised."""
    error = ffi.new("ib_error *")
    result = function(*arguments, error)
    if result < 0:
        raise_error(result, text_of(error.text))
    return result


class Handle:
    """A pointer of the library's that belongs to one thread at a time, and to nobody once it is closed."""

    def __init__(self, type_name: str, pointer: Any, free: Callable[[Any], Any], name: str):
        def release(raw: Any) -> None:
            free(ffi.new(f"{type_name} **", raw))

        self._pointer = ffi.gc(pointer, release)
        self._lock = threading.Lock()
        self.name = name

    def use(self) -> Use:
        """The pointer, for the length of a with statement. BusyError, ClosedError."""
        return Use(self)

    @property
    def closed(self) -> bool:
        return self._pointer is None

    def close(self) -> None:
        """Releases it; again does nothing. BusyError while another thread uses it."""
        if not self._lock.acquire(blocking=False):
            raise BusyError(f"{self.name}: cannot be closed: another call is using it")
        try:
            if self._pointer is not None:
                ffi.release(self._pointer)
                self._pointer = None
        finally:
            self._lock.release()

    def forget(self) -> None:
        """To be called within `use`, before a function of the library that releases the pointer itself."""
        ffi.gc(self._pointer, None)
        self._pointer = None


class Use:
    """What Handle.use gives. Not a generator: short calls would notice."""

    __slots__ = ("_handle",)

    def __init__(self, handle: Handle):
        self._handle = handle

    def __enter__(self) -> Any:
        handle = self._handle
        if not handle._lock.acquire(blocking=False):
            raise BusyError(f"{handle.name}: cannot be used: another call is using it")
        if handle._pointer is None:
            handle._lock.release()
            raise ClosedError(f"{handle.name}: cannot be used: it is closed")
        return handle._pointer

    def __exit__(self, *_: Any) -> None:
        self._handle._lock.release()


class Closing:
    """What holds a handle: `with` closes it."""

    _handle: Handle

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Releases what it holds; again does nothing."""
        self._handle.close()
