#!/usr/bin/env bash
# Limits of the machine and of those who set it up: nothing hangs, and what cannot be done is said in one sentence.
# Whatever runs here is killed after a while: a hang is a failure.
set -u
. tests/cli.bash
: "${IB_CLIP_WEIGHTS:?names the tool, as ctest sets it}"
python=
if /usr/bin/python3 -c 'import h5py' 2>/dev/null; then
    python=/usr/bin/python3
fi
s=$scratch
program=$INBETWEEN
SECONDS_EACH=60

# within ENVIRONMENT... -- ARGUMENT...: as run, with these variables, killed (status 137) when it takes too long
within() {
    local set=()
    while [ "$1" != -- ]; do
        set+=("$1")
        shift
    done
    shift
    words="${set[*]} $*"
    status=0
    env "${set[@]}" timeout -s KILL "$SECONDS_EACH" "$program" "$@" >"$s/out" 2>"$s/err" </dev/null || status=$?
}
# limited WHICH VALUE ARGUMENT...: the same under ulimit -WHICH VALUE
limited() {
    words="(ulimit -$1 $2) ${*:3}"
    status=0
    (
        exec >"$s/out" 2>"$s/err" </dev/null
        ulimit "-$1" "$2"
        exec timeout -s KILL "$SECONDS_EACH" "$program" "${@:3}"
    ) || status=$?
}
no_temporary() { ! find "$1" -name '*.tmp' | grep .; }

check "scenes are made" "$IB_SCENES" "$s/v" --count 3 --frames 24 --size 128x96
run encode "$s/v" -o "$s/l" --size 64x48
expect 0
run train "$s/l" -o "$s/run" --preset toaster --steps 2
expect 0
adapter=$s/run/adapter.safetensors
first=$s/v/scene-01.mp4@0.1 last=$s/v/scene-01.mp4@0.5
check "weights are made" "$IB_CLIP_WEIGHTS" "$s/clip" tiny

# --- threads: fewer than asked for, more than there are, nonsense

for way in OMP_THREAD_LIMIT=1 OMP_THREAD_LIMIT=2 OMP_MAX_ACTIVE_LEVELS=0 OMP_DYNAMIC=true OMP_NUM_THREADS=64 \
    OMP_NUM_THREADS=nonsense; do
    for threads in "" "--threads 1" "--threads 8"; do
        # shellcheck disable=SC2086
        within $way -- render "$first" "$last" --size 1280x720 -n 3 -o "$s/o.mp4" -a "$adapter" $threads
        expect 0
        within $way -- encode "$s/v/scene-01.mp4" --space "clip:$s/clip" -o "$s/lc" $threads
        expect 0
        within $way -- train "$s/l" -o "$s/run-$way$threads" --preset toaster --steps 2 $threads
        expect 0
        rm -rf "$s/lc" "$s/o.mp4" "$s/run-$way$threads"
    done
done
model=tests/fixtures/clip-tiny
for way in OMP_THREAD_LIMIT=1 OMP_DYNAMIC=true; do
    within $way -- render text:red text:blue --space "clip:$model" -n 3 -o "$s/o.safetensors"
    expect 0
    within $way -- encode "$s/v/scene-01.mp4" --space "clip:$model" -o "$s/lc" --threads 1
    expect 0
    rm -rf "$s/lc" "$s/o.safetensors"
done
within OMP_THREAD_LIMIT=1 -- train "$s/l" -o "$s/one" --preset toaster --steps 2 --threads 8
expect 0 'batch 8, 1 thread'
if taskset -c 0 true 2>/dev/null; then
    program=taskset
    within X=1 -- -c 0 "$INBETWEEN" render "$first" "$last" --size 1280x720 -n 3 -o "$s/o.mp4" -a "$adapter"
    program=$INBETWEEN
    expect 0
fi
# a clip that is being made ends at the first signal
export OMP_THREAD_LIMIT=1
interrupted TERM 'ls "$s"/.*o.mp4*.tmp >/dev/null 2>&1' render "$first" "$last" --size 1280x720 -n 3000 \
    -o "$s/long-o.mp4" -a "$adapter"
unset OMP_THREAD_LIMIT
expect 130 'stopped after'
absent "$s/long-o.mp4"

# --- address space: every limit ends with a result, a sentence, or the loader's own

if [ -n "${IB_INSTRUMENTED:-}" ]; then
    skip_part "sanitizers take terabytes of address space: it is not limited"
else
    SECONDS_EACH=20
    ours=0
    for kib in $(seq 50000 50000 1000000); do
        for arguments in --version "render $first $last -n 3 -o $s/o.mp4 -a $adapter"; do
            # shellcheck disable=SC2086
            limited v "$kib" $arguments
            checks=$((checks + 1))
            case $status in
            0) ;;
            1 | 127)
                [ "$(grep -c . "$s/err")" = 1 ] || [ "$(grep -c '^inbetween: ' "$s/err")" = 1 ] || fail "no single sentence"
                grep -q '^inbetween: the address space is limited to' "$s/err" && ours=$((ours + 1))
                ;;
            *) fail "wanted a result or a sentence" ;;
            esac
        done
    done
    check "some of them are too little for OpenBLAS, which is said ($ours)" [ "$ours" -gt 2 ]
    SECONDS_EACH=60
fi

# --- size of files: SIGXFSZ is an error of writing

mkdir "$s/q"
for arguments in "4 train $s/l -o $s/q/run --preset toaster --steps 2" \
    "500 train $s/l -o $s/q/run --preset toaster --steps 2" \
    "4 encode $s/v/scene-01.mp4 -o $s/q/l --size 64x48" \
    "100 encode $s/v/scene-01.mp4 -o $s/q/l --size 128x96" \
    "4 render $first $last -o $s/q/o.mp4 -n 60 --crf 1" \
    "4 render $first $last -o $s/q/o.gif -n 9" \
    "4 render $first $last -o $s/q/%d.png -n 2" \
    "4 merge $adapter $adapter -o $s/q/m.safetensors" \
    "4 eval $s/l -o $s/q/r.html -o $s/q/r.json"; do
    # shellcheck disable=SC2086
    limited f $arguments
    refused 1 'File too large'
    check "no temporary file is left: $words" no_temporary "$s/q"
    rm -rf "$s/q"/* "$s/q"/.*.resume
done
limited f 1 --man
expect 1 'File too large'

# --- open files

told=0
for files in $(seq 6 12); do
    limited n "$files" train "$s/l" -o "$s/q/run" --preset toaster --steps 2
    case $status in
    0) ;;
    127) grep -q 'Too many open files\|Error 24' "$s/err" || fail "wanted the loader's own words" ;;
    *)
        refused 1 'Too many open files'
        told=$((told + 1))
        ;;
    esac
    check "no temporary file is left: $words" no_temporary "$s/q"
    rm -rf "$s/q"/*
done
check "some are too few ($told)" [ "$told" -gt 0 ]

# --- a full disk

if unshare -rm mount -t tmpfs -o size=16k tmpfs "$s/q" 2>/dev/null; then
    # on_disk KILOBYTES ARGUMENT...
    on_disk() {
        words="(a disk of $1 KB) ${*:2}"
        status=0
        unshare -rm bash -c 'mount -t tmpfs -o size="$1"k tmpfs "$2" && cd "$2" && shift 2 && "$@"
            status=$?
            find . -name "*.tmp" >"$LEFT"
            exit $status' - "$1" "$s/q" "$INBETWEEN" "${@:2}" >"$s/out" 2>"$s/err" </dev/null || status=$?
    }
    export LEFT=$s/left
    for kilobytes in 300 3000 5000 5800 8000; do
        on_disk $kilobytes train "$s/l" -o run --preset toaster --steps 2
        refused 1 'No space left on device'
        check "no temporary file is left: $words" [ ! -s "$LEFT" ]
    done
    for kilobytes in 16 64 200; do
        on_disk $kilobytes encode "$s/v/scene-01.mp4" -o . --size 128x96
        refused 1 'No space left on device'
        check "no temporary file is left: $words" [ ! -s "$LEFT" ]
    done
else
    skip_part "no small file system can be mounted here: no full disk"
fi

# --- files that another program has open for writing

if [ -n "$python" ]; then
    cp "$s/l/scene-01.h5" "$s/latents.h5"
    cp -r "$s/run" "$s/locked-run"
    coproc HOLDER { $python -u -c '
import sys, h5py
files = [h5py.File(name, "r+") for name in sys.argv[1:]]
files[0].attrs["note"] = "not flushed"
print("ready")
sys.stdin.read()' "$s/latents.h5" "$s/locked-run/state.h5"; }
    holder=$HOLDER_PID
    read -r -t 60 line <&"${HOLDER[0]}"
    check "another program holds them" [ "$line" = ready ]
    for arguments in "info $s/latents.h5" "eval $s/latents.h5 -o $s/o.txt" "train $s/latents.h5 -o $s/o" \
        "info $s/locked-run/state.h5" "train $s/l -o $s/locked-run --resume --preset toaster --steps 4"; do
        # shellcheck disable=SC2086
        within X=1 -- $arguments
        refused 1 '\(latents\|state\).h5: cannot be opened: it is locked: another program has it open for writing'
    done
    kill "$holder" && wait "$holder" 2>/dev/null
else
    skip_part "python3-h5py is not here: no locked file"
fi

# --- a named pipe that nobody writes to, or no longer: Ctrl-C ends the wait

mkfifo "$s/pipe"
for arguments in "encode $s/pipe -o $s/lp" "info $s/pipe" "eval $s/pipe --gap 4" "render $s/pipe $s/v/scene-01.mp4 -n 3 -o $s/p.mp4"; do
    for writer in none stalled; do
        feeder=
        [ $writer = none ] || { { head -c 5000 "$s/v/scene-01.mp4" && exec sleep 30; } >"$s/pipe" & feeder=$!; }
        # shellcheck disable=SC2086
        interrupted INT 'sleep 0.7' $arguments
        expect 130
        [ -z "$feeder" ] || { kill $feeder && wait $feeder 2>/dev/null; }
    done
done
untouched "$s/lp"
absent "$s/p.mp4"

# --- a reader that goes away

(
    set -o pipefail
    "$INBETWEEN" --man 2>"$s/err" | head -1 >"$s/out"
)
check "a pipe that is closed early is no matter for words" [ ! -s "$s/err" ]

# --- nothing moves: no skill is told

picture() { ffmpeg -v error -loop 1 -i "$1" -t 1 -r 24 -pix_fmt yuv420p "$2" </dev/null; }
if command -v ffmpeg >/dev/null; then
    mkdir "$s/still"
    for i in 1 2 3; do
        ffmpeg -v error -i "$s/v/scene-0$i.mp4" -frames:v 1 "$s/still-$i.png" </dev/null
        picture "$s/still-$i.png" "$s/still/$i.mp4"
    done
    ffmpeg -v error -loop 1 -i "$s/still-1.png" -t 1 -r 24 -c:v ffv1 -pix_fmt yuv420p "$s/still/4.mkv" </dev/null
    run encode "$s/still" -o "$s/l-still" --size 64x48
    expect 0
    run train "$s/l-still" -o "$s/run-still" --preset toaster --steps 6
    expect 0
    run train "$s/l" --valid "$s/l-still" -o "$s/run-valid" --preset toaster --steps 6
    expect 0
    run eval "$s/l-still" -a "$adapter" -o "$s/still.json" -o "$s/still.csv" -o "$s/still.txt"
    expect 0
    check "skills are empty or sane" python3 - "$s/run-still/log.csv" "$s/run-valid/log.csv" "$s/still.json" <<'END'
import csv, json, sys
seen = 0
for name in sys.argv[1:3]:
    for row in csv.DictReader(open(name)):
        for field in "train_skill", "valid_skill":
            print(name, field, repr(row[field]))
            assert not row[field] or -10 <= float(row[field]) <= 1, row
            seen += 1
    print(name, row)
assert list(csv.DictReader(open(sys.argv[1])))[-1]["train_skill"] == ""
assert list(csv.DictReader(open(sys.argv[2])))[-1]["valid_skill"] == ""
assert list(csv.DictReader(open(sys.argv[2])))[-1]["train_skill"] != ""
def skills(x, found):
    if isinstance(x, dict):
        for k, v in x.items():
            found += [v] if k == "skill" else []
            skills(v, found)
    elif isinstance(x, list):
        for v in x:
            skills(v, found)
    return found
for v in skills(json.load(open(sys.argv[3])), []):
    values = list(v.values()) if isinstance(v, dict) else v if isinstance(v, list) else [v]
    assert all(x in (None, "undecided", [None, None]) for x in values), v
END
    check "no report says nan" sh -c "! grep -iE '[+-]?nan\\b' '$s/still.json' '$s/still.csv' '$s/still.txt'"
else
    skip_part "ffmpeg is not here: no still videos"
fi

# --- no time for a step: the process is held up until its budget is over

for _ in $(seq 10); do
    rm -rf "$s/no-step"
    "$INBETWEEN" train "$s/l" -o "$s/no-step" --preset toaster --minutes 0.01 --json >"$s/out" 2>"$s/err" </dev/null &
    pid=$!
    while [ ! -e "$s/no-step/log.csv" ] && kill -0 $pid 2>/dev/null; do :; done
    kill -STOP $pid 2>/dev/null
    sleep 1
    kill -CONT $pid 2>/dev/null
    words="train --minutes 0.01 (held up)" status=0
    wait $pid || status=$?
    expect 0
    [ "$(value steps)" = 0 ] && break
done
check "no step was made" [ "$(value steps)" = 0 ]
expect 0 'warning: no step was made in .* minutes: the adapter is untrained'
check "its loss is not known" [ "$(value loss)" = None ]
run info "$s/no-step/adapter.safetensors" --json
check "the adapter says so: $(grep -o '"train.steps": *"[0-9]*"' "$s/out")" grep -q '"train.steps": *"0"' "$s/out"
run train "$s/l" -o "$s/no-step" --resume --preset toaster --minutes 0.1
expect 0 'going on at step 0'
check "the warning is gone" sh -c "! grep -q 'no step' '$s/err'"
report
