#!/usr/bin/env python3
"""Holds the rooms to the matrix in docs/architecture.md: includes, libraries in CMakeLists.txt, no circles; with a folder of a build,
also what their libraries call. Status 1 if one differs. tools/check_rooms.py [BUILD]"""
import pathlib
import re
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parent.parent
block = re.search(r"```rooms\n(.*?)```", (root / "docs/architecture.md").read_text(), re.S).group(1)
allowed = {line.split(":")[0]: set(line.split(":")[1].split()) for line in block.splitlines()}
cmake = (root / "CMakeLists.txt").read_text()
wrong = []
for room, calls in allowed.items():
    seen = set()
    for path in sorted((root / room).glob("*.[ch]")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = re.match(r'#include "(?:(\w+)/)?', line)
            if found and found.group(1) != room and found.group(1) not in calls:
                wrong.append("%s:%d: %s may not include this: %s" % (path.relative_to(root), number, room, line))
            seen |= {found.group(1)} if found else set()
    wrong += ["%s: may call %s and does not" % (room, other) for other in sorted(calls - seen)]
    linked = re.search(r"ib_room\(%s\b([^)]*)\)|add_executable\(inbetween [^)]*\)\ntarget_link_libraries\(inbetween([^)]*)\)" % room, cmake)
    rooms = {name for name in re.findall(r"\bib_(\w+)", " ".join(filter(None, linked.groups()))) if name in allowed} if linked else set()
    wrong += ["CMakeLists.txt: %s is linked with %s, the matrix says %s" % (room, sorted(rooms), sorted(calls))] if rooms != calls else []
done = []
while len(done) < len(allowed):
    free = [room for room in allowed if room not in done and allowed[room] <= set(done)]
    if not free:
        wrong.append("a circle: " + ", ".join(sorted(set(allowed) - set(done))))
        break
    done += free
folders = {path.parent.name for path in root.glob("*/*.c") if not path.parent.name.startswith("build")} - {"examples", "tests", "tools"}
wrong += ["%s: is no room of the matrix" % name for name in sorted(folders - set(allowed))]
if len(sys.argv) > 1:
    symbols = {}
    for room in set(allowed) - {"cli"}:
        lines = subprocess.run(["nm", "-gP", root / sys.argv[1] / ("libib_%s.a" % room)], stdout=subprocess.PIPE, text=True, check=True).stdout
        found = re.findall(r"^(ib_\S+) (\w)", lines, re.M)
        symbols[room] = {name for name, kind in found if kind != "U"}, {name for name, kind in found if kind == "U"}
    for room, (own, needed) in sorted(symbols.items()):
        within = own.union(*(symbols[other][0] for other in allowed[room]))
        wrong += ["%s: calls %s, of a room that it may not call" % (room, name) for name in sorted(needed - within)]
print("\n".join(wrong) or "%d rooms, as docs/architecture.md has them" % len(allowed))
sys.exit(bool(wrong))
