# What the transcripts share. Sourced; cwd is the project's root. INBETWEEN and IB_SCENES name the programs.
: "${INBETWEEN:?names the program, as ctest sets it}"
INBETWEEN=$(realpath "$INBETWEEN")
scratch=$(mktemp -d "${TMPDIR:-/tmp}/inbetween-cli.XXXXXX")
trap 'chmod -R u+w "$scratch" 2>/dev/null; rm -rf "$scratch"' EXIT
# The default adapter of the transcripts is a small one, whatever comes with the program.
export INBETWEEN_SHARE=$scratch/.share
mkdir "$INBETWEEN_SHARE"
cp "$(find tests/golden -name 'adapter-*.safetensors' | sort | tail -1)" "$INBETWEEN_SHARE/default.safetensors"
checks=0 failures=0

skip() {
    echo "SKIPPED: $*"
    exit 77
}

# For a single condition that cannot be made here.
skip_part() {
    echo "SKIPPED PART: $*"
}

# check WHAT COMMAND...: the command succeeds
check() {
    local what=$1
    shift
    checks=$((checks + 1))
    if ! "$@" >"$scratch/check.log" 2>&1; then
        failures=$((failures + 1))
        echo "FAILED: $what"
        sed 's/^/    /' "$scratch/check.log"
    fi
}

# run ARGUMENT...: the program, its output in $out and $err, its status in $status
run() {
    words="$*"
    status=0
    "$INBETWEEN" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null || status=$?
    out=$(cat "$scratch/out")
    err=$(cat "$scratch/err")
}

# interrupted SIGNAL READY ARGUMENT...: as `run`, and the program is sent the signal once the command READY succeeds
interrupted() {
    local signal=$1 ready=$2 pid
    shift 2
    words="$* (sent SIG$signal)"
    : >"$scratch/out"
    : >"$scratch/err" # READY may look into them, and not at what an earlier command left
    set -m # or the shell would have its background jobs ignore Ctrl-C
    "$INBETWEEN" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null &
    pid=$!
    set +m
    for _ in $(seq 600); do
        eval "$ready" || ! kill -0 "$pid" 2>/dev/null && break
        sleep 0.05
    done
    kill -"$signal" "$pid" 2>/dev/null
    status=0
    wait "$pid" || status=$?
    out=$(cat "$scratch/out")
    err=$(cat "$scratch/err")
}

# filled DIRECTORY: it is there and has something in it
filled() { [ -n "$(ls -A "$1" 2>/dev/null)" ]; }

# value NAME: of the JSON printed last
value() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$scratch/out" "$1"; }

# tensors FILE: the bytes of a safetensors file behind its header
tensors() { python3 -c 'import sys; b = open(sys.argv[1], "rb").read(); sys.stdout.buffer.write(b[8 + int.from_bytes(b[:8], "little"):])' "$1"; }

# same_tensors FILE FILE: whatever their headers say
same_tensors() {
    tensors "$1" >"$scratch/a.bin"
    tensors "$2" >"$scratch/b.bin"
    cmp "$scratch/a.bin" "$scratch/b.bin"
}

fail() {
    failures=$((failures + 1))
    printf 'FAILED: %s\n    $ inbetween %s\n    status %s\n' "$1" "$words" "$status"
    sed 's/^/    out: /' "$scratch/out" | head -20
    sed 's/^/    err: /' "$scratch/err" | head -20
}

# expect STATUS TEXT...: that status, and every TEXT (basic regular expression) is in what was printed on stderr
expect() {
    local want=$1 text
    shift
    checks=$((checks + 1))
    if [ "$status" != "$want" ]; then
        fail "wanted status $want"
        return
    fi
    for text; do
        if ! grep -qi -e "$text" "$scratch/err"; then
            fail "wanted '$text' on stderr"
            return
        fi
    done
}

# refused STATUS TEXT...: as expect, and the error is one sentence: one line that begins with the program's name. Where several
# inputs are worked on, a failed one is a warning; then that is the sentence.
refused() {
    expect "$@"
    local errors warnings
    checks=$((checks + 1))
    warnings=$(grep -c '^inbetween: warning: ' "$scratch/err")
    errors=$(($(grep -c '^inbetween' "$scratch/err") - warnings))
    if [ "$errors" != 1 ] && { [ "$errors" != 0 ] || [ "$warnings" != 1 ]; }; then
        fail "wanted one sentence of error, got $errors errors and $warnings warnings"
    fi
}

# untouched DIRECTORY: nothing is in it, or it is not there
untouched() {
    checks=$((checks + 1))
    if [ -e "$1" ] && [ -n "$(ls -A "$1" 2>/dev/null)" ]; then
        fail "something was left in $1: $(ls -A "$1" | tr '\n' ' ')"
    fi
}

# absent PATH...: none of them exists, and no temporary beside them
absent() {
    local path
    checks=$((checks + 1))
    for path; do
        if [ -e "$path" ] || ls "$(dirname "$path")"/.*.tmp >/dev/null 2>&1; then
            fail "something was left at $path: $(ls -A "$(dirname "$path")" | tr '\n' ' ')"
        fi
    done
}

report() {
    echo "$(basename "$0"): $checks checks, $failures failed"
    [ "$failures" = 0 ]
}
