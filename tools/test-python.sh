#!/usr/bin/env bash
# Tests the Python package, docs/diffusers.md, the ComfyUI nodes and the notebook on the library in build/, in a virtual environment of its
# own (build-python/), which is kept for the next time. What it needs is in python/tests/requirements.txt. PyPI's own build of torch is a
# large one, for GPUs; PyTorch's own index, which PIP_EXTRA_INDEX_URL can name, has a small one. A test that is skipped counts as failed;
# 77: the packages cannot be had. Arguments go to pytest: tools/test-python.sh -k slerp.
#   tools/test-python.sh --old ...   the page and the pipelines with diffusers 0.30 and transformers 4 (requirements-old.txt), in build-python-old/
# With INBETWEEN_LIBRARY another library is tested, a file or a build folder; where it is one with AddressSanitizer (preset sanitize), that
# is loaded first.
set -euo pipefail
cd "$(dirname "$0")/.."
library=${INBETWEEN_LIBRARY:-$PWD/build}
if [ "$library" = "$PWD/build" ] && [ ! -e build/libinbetween.so ]; then
    tools/setup.sh
fi
venv=$PWD/build-python
requirements=python/tests/requirements.txt
tests=(python/tests)
if [ "${1:-}" = --old ]; then
    shift
    venv=$venv-old
    requirements=python/tests/requirements-old.txt
    tests=(python/tests/test_diffusers.py python/tests/test_diffusers_page.py)
fi
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
fi
if ! cmp -s "$requirements" "$venv/requirements.txt"; then # so that it runs without a network once it has run
    if ! "$venv/bin/pip" install --quiet --disable-pip-version-check --retries 1 -r "$requirements"; then
        echo "test-python.sh: what $requirements names cannot be had here: not run" >&2
        exit 77
    fi
    cp "$requirements" "$venv/requirements.txt"
fi
export PYTHONPATH=$PWD/python INBETWEEN_LIBRARY=$library MPLBACKEND=Agg
file=$library
if [ -d "$library" ]; then
    file=$library/libinbetween.so
fi
preload=()
if readelf -d "$file" | grep -q libasan; then
    preload=("LD_PRELOAD=$(cc -print-file-name=libasan.so) $(cc -print-file-name=libubsan.so)"
        ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1)
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
env "${preload[@]}" "$venv/bin/python" -X faulthandler -m pytest -p no:cacheprovider -rs --rootdir=python "${tests[@]}" "$@" \
    </dev/null | tee "$log"
if grep -q "^SKIPPED" "$log"; then
    echo "test-python.sh: tests were skipped" >&2
    exit 1
fi
