#!/usr/bin/env bash
# Replays situations in which video tools lose files, hang, make wrong pictures or mislead, and prints a verdict for each.
#   tools/hunt.sh [PROGRAM [ROW...]]   PROGRAM: build/inbetween if not given, with ib_scenes and ib_clip_weights beside it
# Exit status 1 if there is a FAULT. Inputs are generated in a directory of its own, which is removed.
set -eu
cd "$(dirname "$0")/.."
export PYTHONDONTWRITEBYTECODE=1
python=python3
if /usr/bin/python3 -c 'import numpy, h5py' 2>/dev/null; then
    python=/usr/bin/python3 # Debian's own, which has h5py
fi
exec $python tools/hunt "${@:-build/inbetween}"
