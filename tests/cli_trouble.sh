#!/usr/bin/env bash
# What goes wrong in the world: every case gets one clear sentence, status 1 or 2, and leaves nothing half-written.
set -u
. tests/cli.bash
python=
if /usr/bin/python3 -c 'import h5py' 2>/dev/null; then
    python=/usr/bin/python3
fi

s=$scratch
check "scenes are made" "$IB_SCENES" "$s/v" --count 3 --frames 24 --size 128x96
check "small scenes are made" "$IB_SCENES" "$s/small" --count 1 --frames 24 --size 64x64
check "one frame is made" "$IB_SCENES" "$s/one" --count 1 --frames 1 --size 128x96
check "black frames are made" "$IB_SCENES" "$s/black" --count 2 --frames 24 --size 128x96 --black
echo "This is no video, however it is called." >"$s/text.mp4"
: >"$s/empty.mp4"
head -c 3000 "$s/v/scene-01.mp4" >"$s/cut-off.mp4"
mkdir "$s/nothing"
echo "in the way" >"$s/file"

# the good way first: all that follows needs it
run encode "$s/v" -o "$s/l" --size 64x48
expect 0
check "every video has its latents" [ "$(ls "$s/l" | wc -l)" = 3 ]
run train "$s/l" -o "$s/run" --preset toaster --steps 2
expect 0
adapter=$s/run/adapter.safetensors
check "the run has an adapter" [ -s "$adapter" ]
latents=$s/l/scene-01.h5
run info "$adapter" "$latents"
expect 0
run eval "$s/l" -o "$s/report" --adapter "$adapter" --gap 8 --json
expect 0
run render "$s/v/scene-01.mp4@0.1s" "$s/v/scene-01.mp4@0.5" -o "$s/clip.mp4" --adapter "$adapter" --frames 4
expect 0
check "the clip is there" [ -s "$s/clip.mp4" ]

# --- things that are not there, or are not what they should be

for command in encode train eval; do
    run $command "$s/missing" -o "$s/o"
    refused 1 "$s/missing"
    run $command "$s/nothing" -o "$s/o"
    refused 1 "$s/nothing"
done
run info "$s/missing"
refused 1 "$s/missing"
run render "$s/missing.png" "$s/v/scene-01.mp4" -o "$s/o.mp4"
refused 1 "$s/missing.png"
run render "$s/v/scene-01.mp4" "$s/v/scene-02.mp4" -o "$s/o.mp4" --adapter "$s/missing.safetensors"
refused 1 "$s/missing.safetensors"
run eval "$s/l" -o "$s/o" --adapter "$s/missing.safetensors"
refused 1 "$s/missing.safetensors"
for video in text empty cut-off; do
    run encode "$s/$video.mp4" -o "$s/o"
    refused 1 "$s/$video.mp4"
    run eval "$s/$video.mp4" -o "$s/o.txt"
    refused 1 "$s/$video.mp4"
    run render "$s/$video.mp4" "$s/v/scene-01.mp4" -o "$s/o.mp4"
    refused 1 "$s/$video.mp4"
done
run train "$s/text.mp4" -o "$s/o"
refused 1 "$s/text.mp4"
run info "$s/file"
refused 1 "$s/file"
untouched "$s/o"
absent "$s/o.mp4" "$s/o.txt"

# one bad video among good ones: the good ones are kept, the status says that not all is well
run encode "$s/v/scene-01.mp4" "$s/text.mp4" "$s/v/scene-02.mp4" -o "$s/some" --size 64x48
expect 1 "$s/text.mp4"
check "the good ones are encoded" [ "$(ls -A "$s/some" | tr '\n' ' ')" = "scene-01.h5 scene-02.h5 " ]

# --- places that cannot be written

for place in "$s/file/sub" /proc/no/such; do
    parent=$(dirname "$place")
    run encode "$s/v/scene-01.mp4" -o "$place" --size 64x48
    refused 1 "$parent"
    run train "$s/l" -o "$place" --preset toaster --steps 1
    refused 1 "$parent"
    run eval "$s/l" -o "$place/report"
    refused 1 "$parent"
    run render "$s/v/scene-01.mp4" "$s/v/scene-02.mp4" -o "$place/o.mp4" --frames 3
    refused 1 "$parent"
done
if [ "$(id -u)" != 0 ]; then
    mkdir "$s/locked"
    chmod 555 "$s/locked"
    run encode "$s/v/scene-01.mp4" -o "$s/locked" --size 64x48
    refused 1 "$s/locked"
    untouched "$s/locked"
else
    skip_part "root may write everywhere: no directory without permission (a file in the way and /proc were tried)"
fi

# --- a full disk: a real one where a small file system can be mounted, and a limit on file sizes everywhere

# on_full_disk KILOBYTES ARGUMENT...: with cwd on it; what is left there goes to $s/left
on_full_disk() {
    words="(full disk) $*"
    status=0
    unshare -rm bash -c 'mount -t tmpfs -o size="$1"k tmpfs "$2" && cd "$2" && shift 2 && "$@"
        status=$?
        find . -type f | sort >"$LEFT"
        exit $status' - "$1" "$s/nothing" "$INBETWEEN" "${@:2}" >"$s/out" 2>"$s/err" </dev/null || status=$?
}
with_limit() {
    words="(limited file size) $*"
    status=0
    (
        trap '' XFSZ
        ulimit -f "$1"
        exec "$INBETWEEN" "${@:2}" >"$s/out" 2>"$s/err" </dev/null
    ) || status=$?
}
export LEFT=$s/left
if unshare -rm mount -t tmpfs -o size=16k tmpfs "$s/nothing" 2>/dev/null; then
    on_full_disk 16 encode "$s/v/scene-01.mp4" -o . --size 64x48
    refused 1 'scene-01.h5'
    check "a full disk keeps no half latent file: $(tr '\n' ' ' <"$LEFT")" [ ! -s "$LEFT" ]
    on_full_disk 8 render "$s/v/scene-01.mp4@0.1" "$s/v/scene-01.mp4@0.5" -o clip.mp4 --frames 60 --crf 1
    refused 1 'clip.mp4'
    check "a full disk keeps no half clip: $(tr '\n' ' ' <"$LEFT")" [ ! -s "$LEFT" ]
    on_full_disk 512 train "$s/l" -o run --preset toaster --steps 1
    refused 1
    check "a full disk keeps no half state: $(tr '\n' ' ' <"$LEFT")" \
        [ -z "$(grep -E 'tmp|adapter|state' "$LEFT")" ]
else
    skip_part "no small file system can be mounted here: the full disk is only played by a limit on file sizes"
fi
with_limit 8 encode "$s/v/scene-01.mp4" -o "$s/full" --size 64x48
refused 1 'scene-01.h5'
untouched "$s/full"
with_limit 8 render "$s/v/scene-01.mp4@0.1" "$s/v/scene-01.mp4@0.5" -o "$s/full.mp4" --frames 60 --crf 1
refused 1 'full.mp4'
absent "$s/full.mp4"

# --- too little to work on

run encode "$s/one" -o "$s/l-one" --size 64x48
expect 0
run encode "$s/black" -o "$s/l-black" --size 64x48
expect 0
run train "$s/l-one" -o "$s/o" --preset toaster --steps 1
refused 1
untouched "$s/o"
run eval "$s/l-one" -o "$s/o.txt"
refused 1
run eval "$s/one" -o "$s/o.txt"
refused 1
run eval "$s/v" -o "$s/o.txt" --gap 64
refused 1
absent "$s/o.txt"
run eval "$s/l-black" -o "$s/black.json" --adapter "$adapter" --json
if [ "$status" = 0 ]; then
    check "a black video's figures are numbers" sh -c "! grep -qiE 'nan|inf[^o]' '$s/out'"
else
    refused 1
fi
run train "$s/l-black" -o "$s/o-black" --preset toaster --steps 1
if [ "$status" = 0 ]; then
    run info "$s/o-black/adapter.safetensors"
    expect 0
else
    refused 1
    untouched "$s/o-black"
fi
run render "$s/one/scene-01.mp4@5" "$s/v/scene-01.mp4" -o "$s/o.mp4"
case $status in 0) rm -f "$s/o.mp4" ;; *) refused 1 "$s/one/scene-01.mp4" ;; esac

# --- things that do not fit together

run render "$s/v/scene-01.mp4" "$s/small/scene-01.mp4" -o "$s/o.mp4" --frames 4
refused 1 '128 *x *96' '64 *x *64'
absent "$s/o.mp4"
LC_ALL=C sed 's/patch:/hatch:/g; s/"slerp:range1"/"slerp"       /' "$adapter" >"$s/other.safetensors"
run eval "$s/l" -o "$s/o.txt" --adapter "$s/other.safetensors"
refused 1 'hatch' 'patch'
run render "$s/v/scene-01.mp4" "$s/v/scene-02.mp4" -o "$s/o.mp4" --adapter "$s/other.safetensors" --frames 4
refused 1 'hatch' 'patch'
absent "$s/o.txt" "$s/o.mp4"
head -c 5000 "$adapter" >"$s/short.safetensors"
run eval "$s/l" -o "$s/o.txt" --adapter "$s/short.safetensors"
refused 1 "$s/short.safetensors"
run info "$s/short.safetensors"
refused 1 "$s/short.safetensors"
head -c 4000 "$latents" >"$s/short.h5"
run train "$s/short.h5" -o "$s/o" --preset toaster --steps 1
refused 1 "$s/short.h5"
run info "$s/short.h5"
refused 1 "$s/short.h5"
if [ -n "$python" ]; then
    mkdir "$s/l-nan" "$s/l-two"
    cp "$s/l"/*.h5 "$s/l-nan/"
    cp "$s/l"/*.h5 "$s/l-two/"
    $python - "$s/l-nan/scene-02.h5" "$s/l-two/scene-02.h5" <<'END'
import sys, h5py
with h5py.File(sys.argv[1], "r+") as f:
    f["latents"][:, 3, 5] = float("nan")
with h5py.File(sys.argv[2], "r+") as f:
    names = [k for k in f.attrs if "space" in k]
    value = f.attrs[names[0]]
    text = value.decode() if isinstance(value, bytes) else str(value)
    new = text.replace("patch", "hatch")
    f.attrs.modify(names[0], new.encode() if isinstance(value, bytes) else new)
END
    run train "$s/l-nan" -o "$s/o" --preset toaster --steps 4
    refused 1 'l-nan/scene-02.h5'
    run eval "$s/l-nan" -o "$s/o.txt"
    refused 1 'l-nan/scene-02.h5'
    check "the others are evaluated" grep -q 'mean over 2 clips' "$s/o.txt"
    check "the report names the bad one" grep -q 'not evaluated: .*scene-02.h5' "$s/o.txt"
    rm -f "$s/o.txt"
    run train "$s/l-two" -o "$s/o2" --preset toaster --steps 4
    refused 1 'hatch' 'patch'
    run eval "$s/l-two" -o "$s/o.txt"
    refused 1 'hatch' 'patch'
    untouched "$s/o2"
    absent "$s/o.txt"
else
    skip_part "python3-h5py is not here: no NaN and no foreign space in a latent file"
fi

# --- what exists is not spoilt

run train "$s/l" -o "$s/run" --preset toaster --steps 2
refused 1 "$s/run" 'resume'
run train "$s/l" -o "$s/empty-run" --resume --steps 2
refused 1 "$s/empty-run"
run info "$adapter"
expect 0

# --- interruption: what is done is kept

interrupted INT '[ -e "$s/stopped/log.csv" ] && sleep 1' train "$s/l" -o "$s/stopped" --preset toaster --minutes 2
expect 130
check "an interrupted run has its adapter" [ -s "$s/stopped/adapter.safetensors" ]
check "an interrupted run has its state" [ -s "$s/stopped/state.h5" ]
absent "$s/stopped/no.tmp"
check "a scene for the interrupted encoder" "$IB_SCENES" "$s/long" --count 1 --frames 2400 --size 128x96 --black
mkdir -p "$s/stopped-encode"
interrupted INT 'filled "$s/stopped-encode"' encode "$s/long" -o "$s/stopped-encode" --size 640x480
if [ "$status" = 0 ]; then
    skip_part "the encoder was done before the signal came"
else
    expect 130
    untouched "$s/stopped-encode"
fi
report
