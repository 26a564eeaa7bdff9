#!/usr/bin/env python3
"""Holds the shared library to the installed headers: what it shows is what they declare, both ways. Status 1 if not.

Usage: tools/check_exports.py [LIBRARY]; by default build/libinbetween.so."""
import pathlib
import re
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parent.parent
library = sys.argv[1] if len(sys.argv) > 1 else str(root / "build/libinbetween.so")


def declared(text):
    """The names of all functions and objects that a header declares, whatever stands before them."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)
    text = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", "", text, flags=re.M)
    text = re.sub(r'extern "C" \{', " ", text)
    while re.search(r"\{[^{}]*\}", text):
        text = re.sub(r"\{[^{}]*\}", " ", text)
    text = re.sub(r"__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)", " ", text)
    for statement in re.split(r"[;}]", text):
        words = statement.split()
        if words and words[0] not in ("typedef", "static", "using"):
            function = re.search(r"\b(ib_\w+)\s*\(", statement)
            data = re.search(r"\bextern\b.*?(\w+)\s*(?:\[[^\]]*\]\s*)*$", statement, re.S)
            for found in filter(None, [function or data]):
                yield found.group(1)


block = re.search(r"set\(IB_PUBLIC_HEADERS(.*?)\)", (root / "cmake/install.cmake").read_text(), re.S).group(1)
promised = {}
for header in block.split():
    for name in declared((root / header).read_text()):
        promised[name] = header
listing = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
shown = {line.split()[-1] for line in listing.splitlines()}
wrong = ["%s: declares %s, which %s does not show" % (promised[name], name, library) for name in sorted(set(promised) - shown)]
wrong += ["%s: shows %s, which no installed header declares" % (library, name) for name in sorted(shown - set(promised))]
print("\n".join(wrong) or "%s shows the %d names that the installed headers declare" % (library, len(shown)))
sys.exit(bool(wrong) or not shown)
