"""The code of a page: its indented blocks, in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def blocks(page: Path) -> Iterator[tuple[int, str]]:
    """The first line's number and the text of each block of lines that are four blanks in."""
    lines, at = page.read_text(encoding="utf-8").split("\n"), 0
    while at < len(lines):
        first = at
        while at < len(lines) and (lines[at].startswith("    ") or (at > first and not lines[at] and lines[at + 1 : at + 2] and
                                                                    lines[at + 1].startswith("    "))):  # fmt: skip
            at += 1
        if at > first:
            yield first + 1, "\n".join(line[4:] for line in lines[first:at]) + "\n"
        at += 1


def is_shell(block: str) -> bool:
    return block.startswith("inbetween ")


def run(page: Path, first: int, block: str, names: dict[str, object]) -> None:
    """Python, in `names`; what fails is shown with the page's own line numbers."""
    exec(compile("\n" * (first - 1) + block, str(page), "exec"), names)
