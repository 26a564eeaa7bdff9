#!/usr/bin/env bash
# Tests the Python package on the library in build/, in a virtual environment of its own (build-python/), which is kept for the next time.
# A test that is skipped counts as failed. Arguments go to pytest: tools/test-python.sh -k slerp
set -euo pipefail
cd "$(dirname "$0")/.."
if [ ! -e build/libinbetween.so ]; then
    tools/setup.sh
fi
venv=$PWD/build-python
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
fi
"$venv/bin/pip" install --quiet --disable-pip-version-check numpy cffi pytest tqdm matplotlib
export PYTHONPATH=$PWD/python INBETWEEN_LIBRARY=$PWD/build MPLBACKEND=Agg
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$venv/bin/python" -X faulthandler -m pytest -p no:cacheprovider -rs --rootdir=python python/tests "$@" </dev/null | tee "$log"
if grep -q "^SKIPPED" "$log"; then
    echo "test-python.sh: tests were skipped" >&2
    exit 1
fi
