"""Long calls of the library: in a thread of their own, so that Ctrl-C and callbacks reach the caller's thread."""

from __future__ import annotations

import logging
import os
import queue
import threading
import warnings
from typing import Any, Callable, Iterable

from ._library import encoded, ffi, raise_error, text_of

log = logging.getLogger("inbetween")
END = object()
WARNING = "warning: "


class Job:
    """One call of a long function.

    What the library reports is handed to the caller's thread. An exception there, Ctrl-C or a callback's own, sets the stop flag; it is
    raised when the library has ended cleanly.
    """

    def __init__(self) -> None:
        self.stop = ffi.new("int *", 0)  # an atomic_int
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._kept: list[Any] = []  # what the options point to

    def text(self, value: str | os.PathLike[str] | None) -> Any:
        """A C string that lives as long as the job; NULL for None."""
        return ffi.NULL if value is None else self.keep(ffi.new("char[]", encoded(value)))

    def texts(self, values: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> tuple[Any, int]:
        """char *[n] and n."""
        if isinstance(values, (str, os.PathLike)):
            values = [values]
        all_of_them = [self.text(value) for value in values]
        return self.keep(ffi.new("char *[]", all_of_them or [ffi.NULL])), len(all_of_them)

    def paths(self, values: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None) -> Any:
        """An ib_paths; NULL for None."""
        if values is None:
            return ffi.NULL
        v, n = self.texts(values)
        return self.keep(ffi.new("ib_paths *", {"v": v, "n": n}))

    def keep(self, value: Any) -> Any:
        self._kept.append(value)
        return value

    def fill(self, options: Any, **fields: Any) -> None:
        """Sets fields of an options struct; None leaves the default. str and paths become C strings."""
        for name, value in fields.items():
            if value is None:
                continue
            if isinstance(value, (str, os.PathLike)):
                value = self.text(value)
            try:
                setattr(options, name, value)
            except (TypeError, OverflowError) as problem:
                raise type(problem)(f"{name}: {problem}") from None

    def report(self, kind: str, read: Callable[..., Any]) -> Any:
        """A callback of the C type `kind`: what read(*arguments after user) gives is an event."""
        return self.keep(ffi.callback(kind, lambda _user, *arguments: self._events.put(read(*arguments))))

    def messages(self) -> Any:
        """A callback for sentences: warnings are warned of, the others go to the log "inbetween"."""
        return self.report("void(void *, const char *)", lambda sentence: Sentence(text_of(sentence)))

    def run(self, function: Callable[..., int], *arguments: Any, on_event: Callable[[Any], None] | None = None) -> None:
        """function(*arguments, ib_error *); its error is raised."""
        error, code = ffi.new("ib_error *"), [0]

        def work() -> None:
            try:
                code[0] = function(*arguments, error)
            finally:
                self._events.put(END)

        worker = threading.Thread(target=work, name="inbetween")
        failure: BaseException | None = None
        worker.start()
        while True:
            try:
                event = self._events.get(timeout=0.2)
                if event is END:
                    break
                if failure is None:
                    _handle(event, on_event)
            except queue.Empty:
                if not worker.is_alive():
                    break
            except BaseException as problem:  # also KeyboardInterrupt
                failure = failure or problem
                self.stop[0] = 1
        worker.join()
        if failure is not None:
            raise failure
        if code[0] < 0:
            raise_error(code[0], text_of(error.text))


class Sentence(str):
    """A message of the library's."""


def _handle(event: Any, on_event: Callable[[Any], None] | None) -> None:
    if isinstance(event, Sentence):
        if event.startswith(WARNING):
            warnings.warn(str(event[len(WARNING) :]), stacklevel=4)
        else:
            log.info("%s", event)
    elif on_event is not None:
        on_event(event)


class Bar:
    """What `progress` stands for: a function gets each event; True is a bar of tqdm, where that is installed; False is nothing."""

    def __init__(self, progress: bool | Callable[[Any], None], name: str, of: Callable[[Any], tuple[float, float]]):
        self._call = progress if callable(progress) else None
        self._of = of  # an event's (done, total)
        self._bar: Any = None
        if progress is True:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                return
            self._bar = tqdm(desc=name, total=1.0, bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}")

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, event: Any) -> None:
        if self._call is not None:
            self._call(event)
        elif self._bar is not None:
            done, total = self._of(event)
            self._bar.n = min(1.0, done / total) if total else 0.0
            self._bar.refresh()
