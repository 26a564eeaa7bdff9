#!/usr/bin/env bash
# inbetween encode and info: what the files are called, what is left alone, what is printed.
set -u
. tests/cli.bash
s=$scratch

check "scenes are made" "$IB_SCENES" "$s/v" --count 3 --frames 24 --size 128x96
mkdir "$s/x" "$s/y"
cp "$s/v/scene-01.mp4" "$s/x/clip.mp4"
cp "$s/v/scene-02.mp4" "$s/y/clip.mp4"
cp "$s/v/scene-03.mp4" "$s/x/clip.mov"
cp "$s/v/scene-03.mp4" "$s/x/alone.mp4"
echo "notes" >"$s/x/notes.txt"

names() { [ "$(ls -A "$1" | tr '\n' ' ')" = "$2 " ]; }
said() { grep -q -e "$1" "$s/out"; }

# names: short ones where they are unique, longer ones where inputs share them; a file named twice is one
run encode "$s/x" "$s/y" "$s/x/alone.mp4" -o "$s/names" --size 64x48
expect 0
check "four inputs have four names" names "$s/names" "alone.h5 clip.mov.h5 x-clip.mp4.h5 y-clip.mp4.h5"
check "a summary is printed" said "4 encoded, 0 unchanged, 0 failed"
run encode "$s/x/clip.mp4" "$s/y" -o "$s/names" --size 64x48
expect 0
check "they find their own again" said "0 encoded, 2 unchanged"
run encode "$s/x/alone.mp4" -o "$s/two" --size 64x48
cp "$s/x/alone.mp4" "$s/x/alone.mkv"
run encode "$s/x/alone.mkv" -o "$s/two" --size 64x48
expect 0
check "a later namesake does not overwrite" names "$s/two" "alone.h5 alone.mkv.h5"

# unchanged ones are left alone; other settings, other content and --force are not
run encode "$s/x/alone.mp4" -o "$s/two" --size 64x48
check "unchanged" said "0 encoded, 1 unchanged"
run encode "$s/x/alone.mp4" -o "$s/two" --size 64x48 --every 2
check "another --every" said "1 encoded, 0 unchanged, 0 failed; 12 frames"
run encode "$s/x/alone.mp4" -o "$s/two" --size 64x48 --every 2 --fit squash
check "another --fit" said "1 encoded"
cp "$s/v/scene-01.mp4" "$s/x/alone.mp4"
run encode "$s/x/alone.mp4" -o "$s/two" --size 64x48 --every 2 --fit squash
check "another content" said "1 encoded"
run encode "$s/x/alone.mp4" -o "$s/two" --size 64x48 --every 2 --fit squash --force
check "--force" said "1 encoded"

# several at once give the same bytes as one after the other
run encode "$s/v" -o "$s/one" --size 64x48 --jobs 1 --threads 1
run encode "$s/v" -o "$s/three" --size 64x48 --jobs 3 --threads 3
expect 0
check "jobs do not change the bytes" diff -r "$s/one" "$s/three"

# JSON, and nothing else, on stdout
run encode "$s/v" "$s/nowhere.mp4" -o "$s/one" --size 64x48 --json
expect 1 "nowhere.mp4"
if command -v python3 >/dev/null; then
    check "encode --json is JSON" python3 -c 'import json, sys; d = json.load(open(sys.argv[1]))
assert len(d["videos"]) == 3 and d["videos"][0]["state"] == "unchanged" and d["videos"][0]["frames"] == 24, d' "$s/out"
    run info --json --check "$s/one"
    expect 0
    check "info --json is JSON" python3 -c 'import json, sys; d = json.load(open(sys.argv[1]))
assert len(d) == 3 and d[0]["kind"] == "latent file" and d[0]["frames"] == 24 and d[0]["frame size"] == "64 x 48", d' "$s/out"
else
    skip_part "python3 is not installed: JSON is not parsed"
fi

# info
run info "$s/one/scene-01.h5" "$s/v/scene-01.mp4"
expect 0
check "info names the space" said "space: patch:dct8+4:v1"
check "info knows videos" said "kind: video"
head -c 9000 "$s/one/scene-01.h5" >"$s/short.h5"
run info "$s/short.h5"
refused 1 "$s/short.h5: damaged or cut short"

# wrong usage
run encode "$s/v"
refused 2 "-o DIR"
run encode "$s/v" -o "$s/o" --size 63x48
refused 2 "even"
run encode "$s/v" -o "$s/o" --fit stretch
refused 2 "stretch"
run encode "$s/v" -o "$s/o" --space nosuch
refused 1 "nosuch" "patch"
run encode "$s/v" -o "$s/o" --every 0
refused 2 "every"
untouched "$s/o"

# interrupted: whole files only, status 130
"$IB_SCENES" "$s/long" --count 1 --frames 500 --size 128x96 >/dev/null 2>&1
interrupted TERM 'filled "$s/stopped"' encode "$s/long" -o "$s/stopped" --threads 1 --size 2048x2048
if [ "$status" = 0 ]; then
    skip_part "this machine encodes faster than it can be interrupted"
else
    expect 130
    untouched "$s/stopped"
fi
report
