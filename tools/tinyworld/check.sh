#!/bin/bash
# check.sh SEED [OPTION...]: figures of models/tinyworld on fresh plain scenes, as JSON (check.py has the options).
# $WORLD, $INBETWEEN and $PYTHON name another world, program and Python.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/../..")
seed=${1:?usage: check.sh SEED [OPTION...]}
shift
exec "${PYTHON:-python3}" "$here/check.py" "${WORLD:-$root/models/tinyworld}" "${INBETWEEN:-$root/build/inbetween}" \
    --seed "$seed" "$@"
