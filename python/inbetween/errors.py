"""Errors: one class for each of the library's codes, each with the library's sentence, "PATH: what is wrong: why"."""

from __future__ import annotations


class Error(Exception):
    """Something that the library refused or could not do. `str(error)` is its sentence."""

    code = 0  # one of IB_E_*; 0 where the package itself refused


class FileError(Error, OSError):
    """The operating system refused: a missing file, no permission, a full disk."""

    code = -1


class FormatError(Error, ValueError):
    """A file is damaged or of another kind."""

    code = -2


class MismatchError(Error, ValueError):
    """Two good things that do not fit together: spaces, shapes, architectures."""

    code = -3


class ArgumentError(Error, ValueError):
    """A value outside its documented range."""

    code = -4


class OutOfMemoryError(Error, MemoryError):
    """Out of memory, or a size that is too large for any memory."""

    code = -5


class EmptyError(Error, ValueError):
    """Nothing to work on: no frames, no windows, an empty directory."""

    code = -6


class NonfiniteError(Error, ValueError):
    """NaN or infinity where a number was needed."""

    code = -7


class UnsupportedError(Error, NotImplementedError):
    """Valid, but this build or this version cannot do it."""

    code = -8


class StoppedError(Error):
    """Stopped by something else than Python: Ctrl-C raises KeyboardInterrupt, a callback's exception comes through."""

    code = -9


class ClosedError(Error, ValueError):
    """The object was closed before."""


class BusyError(Error, RuntimeError):
    """Another thread is using the object: one object belongs to one thread at a time."""


class NoLibraryError(Error, ImportError):
    """libinbetween is not there, or is of another version."""


BY_CODE: dict[int, type[Error]] = {
    kind.code: kind
    for kind in (
        FileError,
        FormatError,
        MismatchError,
        ArgumentError,
        OutOfMemoryError,
        EmptyError,
        NonfiniteError,
        UnsupportedError,
        StoppedError,
    )
}
