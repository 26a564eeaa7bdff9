"""The library's C declarations, as cffi reads them, made of its public headers.

A wheel holds them as `declarations.h`; in a checkout they are made when the package is imported. No declaration is written by hand.
"""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKED = HERE / "declarations.h"


def header_names(root: Path) -> list[str]:
    """The public headers, relative to the source tree `root`, in the order of cmake/install.cmake."""
    text = (root / "cmake" / "install.cmake").read_text(encoding="utf-8")
    found = re.search(r"set\(IB_PUBLIC_HEADERS(.*?)\)", text, re.S)
    if not found:
        raise ValueError(f"{root}/cmake/install.cmake: names no IB_PUBLIC_HEADERS")
    return found.group(1).split()


def declarations_of(text: str) -> str:
    """What cffi needs of one header: no comments, no preprocessor but whole-number constants, no attributes."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"//[^\n]*", " ", text)
    text = text.replace("\\\n", " ")
    text = re.sub(r"#ifdef __cplusplus.*?(#else(.*?))?#endif", lambda m: m.group(2) or "", text, flags=re.S)
    lines = []
    for line in text.split("\n"):
        if not line.lstrip().startswith("#"):
            lines.append(line.rstrip())
        elif re.fullmatch(r"#define IB_\w+ -?\d+\s*", line):
            lines.append(line.rstrip())
    text = "\n".join(line for line in lines if line)
    text = re.sub(r"__attribute__\(\(.*?\)\)\n", "", text)
    return re.sub(r"\bIB_API\s+", "", text)


def from_tree(root: Path) -> str:
    """The declarations of all public headers of the source tree `root`."""
    parts = ["typedef int atomic_int;"]
    parts += [declarations_of((root / name).read_text(encoding="utf-8")) for name in header_names(root)]
    return "\n".join(parts) + "\n"


def source_tree() -> Path | None:
    """The source tree that this package lies in, or None."""
    root = HERE.parent.parent
    return root if (root / "cmake" / "install.cmake").is_file() else None


def declarations() -> str:
    """Of the wheel, else of the source tree around the package."""
    if PACKED.is_file():
        return PACKED.read_text(encoding="utf-8")
    root = source_tree()
    if root is None:
        raise ImportError(f"{PACKED}: is not there: the package is neither installed nor in the source tree")
    return from_tree(root)
