#!/usr/bin/env bash
# Runs test programs of the release build on an emulated x86-64 processor that has SSE2 and nothing newer, the first
# Opteron: an instruction that stands where only a version for newer ones may have it ends the test by SIGILL.
#   tools/old_processor.sh test_nn test_latent ...
set -u
cd "$(dirname "$0")/.."
if ! command -v qemu-x86_64 >/dev/null; then
    echo "old_processor.sh: qemu-x86_64 is not here (Debian: qemu-user)" >&2
    exit 1
fi
[ $# != 0 ] || { echo "old_processor.sh: which tests?" >&2; exit 2; }

unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE # OpenBLAS is to see for itself
# OpenBLAS knows this processor and uses its 3DNow!; for others without SSE3 it has no kernels.
processor=Opteron_G1,-pni,+3dnow,+3dnowext
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
for test in "$@"; do
    begun=$SECONDS
    qemu-x86_64 -cpu "$processor" "build/$test" >"$log" 2>&1 </dev/null
    result=$?
    echo "$test: status $result, $((SECONDS - begun)) s; $(tail -n 1 "$log")"
    if [ $result != 0 ] && [ $result != 77 ]; then
        cat "$log"
        status=1
    fi
done
exit $status
