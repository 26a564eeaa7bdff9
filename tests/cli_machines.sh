#!/usr/bin/env bash
# Machines that are not supported are refused while compiling, in one sentence.
set -u
. tests/cli.bash
: "${IB_CC:?names the compiler, as ctest sets it}"

# compile FILE OPTION...: what the compiler says goes to $scratch/said
compile() {
    local file=$1
    shift
    "$IB_CC" -std=gnu17 -D_GNU_SOURCE -I. -w -fsyntax-only "$@" "$file" >"$scratch/said" 2>&1
}

for file in base/safetensors.c base/half.c; do
    check "$file compiles here" compile "$file"
    compile "$file" -U__BYTE_ORDER__ -D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__
    check "$file on a big-endian processor" grep -q 'inbetween needs a little-endian processor' "$scratch/said"
done

check "base/memory.c compiles here" compile base/memory.c
mkdir -p "$scratch/stubs/gnu"
: >"$scratch/stubs/gnu/stubs-32.h" # glibc's, of which the 64-bit package has only the other
if [ "$(uname -m)" = x86_64 ]; then
    compile base/memory.c -m32 -isystem "$scratch/stubs" -idirafter /usr/include/x86_64-linux-gnu
    check "base/memory.c with 32 bits" grep -q 'inbetween needs a 64-bit system' "$scratch/said"
else
    skip_part "no 32-bit build beside this one"
fi
report
