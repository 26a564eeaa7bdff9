#!/usr/bin/env bash
# inbetween encode with guides: what is made, what is kept, what is refused.
set -u
. tests/cli.bash
s=$scratch space=clip:tests/fixtures/clip-tiny
said() { grep -q -e "$1" "$s/out"; }
other=tests/golden/adapter-2.safetensors old=tests/golden/adapter-2-motion-1.safetensors
export OMP_WAIT_POLICY=passive

check "scenes are made" "$IB_SCENES" "$s/v" --count 2 --frames 40 --size 64x48

run encode "$s/v" -o "$s/a" --space "$space" --guide prior --guide-gaps 4,8 --guide-windows 3
expect 0 "guides at gaps of 4,8 frames by prior:motion:"
check "the summary says how many guides" said "2 encoded, 0 unchanged, 0 failed; 80 frames"
check "and by which model" said "60 guides by prior:motion:"
sleep 1.1 # no time stamp is stored
run encode "$s/v" -o "$s/b" --space "$space" --guide prior --guide-gaps 8,4 --guide-windows 3
check "the same bytes" diff -r "$s/a" "$s/b"
run encode "$s/v" -o "$s/a" --space "$space" --guide prior --guide-gaps 4,8 --guide-windows 3
expect 0 "unchanged, 40 frames, 30 guides"
run encode "$s/v" -o "$s/a" --space "$space" --guide prior --guide-gaps 4 --guide-windows 3
expect 0 "40 frames as they were"
check "other gaps are other guides" said "18 guides by prior"
run encode "$s/v" -o "$s/a" --space "$space" --guide "$other" --guide-gaps 4 --guide-windows 3
check "another model, too" said "18 guides by sha256:$(sha256sum "$other" | cut -c1-64) $(basename "$other")"
run encode "$s/v" -o "$s/a" --space "$space" --guide-gaps 4 --guide-windows 3
check "without a word it is the default adapter, here a copy of that one" said "0 encoded, 2 unchanged"
mv "$INBETWEEN_SHARE/default.safetensors" "$s/away"
run encode "$s/v" -o "$s/a" --space "$space" --guide-gaps 4 --guide-windows 3
check "or the untrained model, if there is none" said "18 guides by prior:motion:"
run encode "$s/v" -o "$s/a" --space "$space" --guide none
expect 0 "40 frames as they were"
check "none" eval "! said guides"
mv "$s/away" "$INBETWEEN_SHARE/default.safetensors"

run encode "$s/v" -o "$s/a" --space "$space" --json --guide prior --guide-gaps 4
check "JSON has them" python3 -c '
import json, sys
for v in json.load(open(sys.argv[1]))["videos"]:
    assert v["guides"] == 27 and v["guide_windows"] == 9 and v["guide_model"].startswith("prior:"), v' "$s/out"
run encode "$s/v/scene-01.mp4" -o "$s/hidden" --space "$space" --tokens penultimate --guide prior --guide-gaps 8
check "hidden tokens have guides" said "28 guides by prior:motion:"
run encode "$s/v/scene-01.mp4" -o "$s/patch"
check "pictures have none" said "1 encoded, 0 unchanged"
check "and nothing is said of them" eval "! said guides"
mkfifo "$s/pipe.mkv"
cat "$s/v/scene-01.mp4" >"$s/pipe.mkv" &
run encode "$s/pipe.mkv" -o "$s/piped" --space "$space" --guide prior
wait
expect 0 "cannot be read twice"

# refused before anything is encoded
run encode "$s/v" -o "$s/c" --space "$space" --guide "$s/missing.safetensors"
refused 1 "missing.safetensors"
run encode "$s/v" -o "$s/c" --space "$space" --guide "$s/v/scene-01.mp4"
refused 1 "scene-01.mp4"
run encode "$s/v" -o "$s/c" --space "$space" --guide "$old"
refused 1 "$old" "motion:1"
run train "$s/a" -o "$s/run" --steps 1 --preset toaster --valid-part 0 --threads 1
expect 0
run encode "$s/v" -o "$s/c" --space "$space" --guide "$s/run/adapter.safetensors"
refused 1 "adapter.safetensors" "patch space"
run encode "$s/v" -o "$s/c" --guide prior
refused 1 "patch" "guides"
for gaps in 1,4 4,,8 4,1001 4.5 "" 8,; do
    run encode "$s/v" -o "$s/c" --space "$space" --guide-gaps "$gaps"
    refused 2 "--guide-gaps"
done
run encode "$s/v" -o "$s/c" --space "$space" --guide-gaps 4,8,4
refused 2 "--guide-gaps has 4 twice"
run encode "$s/v" -o "$s/c" --space "$space" --guide-windows 0
refused 2 "guide-windows"
untouched "$s/c"
report
