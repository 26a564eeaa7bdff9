#!/usr/bin/env bash
# Guides from end to end: encode makes them, train learns from them, info explains them, render follows them, and merges and pools keep to
# one pixel model. The tower is a small one with random weights.
set -u
. tests/cli.bash
model=tests/fixtures/clip-tiny
s=$scratch space="clip:$model" pixels=$INBETWEEN_SHARE/default.safetensors
export OMP_NUM_THREADS=1

check "scenes are made" "$IB_SCENES" "$s/v" --count 4 --frames 24 --size 96x64
run encode "$s/v" -o "$s/prior" --space "$space" --guide prior --guide-gaps 2,4 --guide-windows 3
expect 0
run encode "$s/v" -o "$s/default" --space "$space" --guide-gaps 2,4 --guide-windows 3
expect 0
run encode "$s/v" -o "$s/none" --space "$space" --guide none
expect 0
latents=$s/prior/scene-01.h5

# info
run info "$latents"
expect 0
check "the pixel model is named" grep -q 'pixel model: prior:' "$s/out"
check "the windows are counted" grep -q '^ *4: 3$' "$s/out"
run info "$latents" --json --check
expect 0
check "guides in numbers" python3 -c '
import json, sys
g = json.load(open(sys.argv[1]))[0]["guides"]
assert g["windows"] == 6 and g["guides"] == 3 * 1 + 3 * 3 and g["windows by gap"] == {"2": 3, "4": 3}, g
assert g["values that are not finite"] == 0 and g["root mean square"] > 0, g' "$s/out"
run info "$s/none/scene-01.h5"
check "no guides, no word of them" sh -c "! grep -q guides '$s/out'"

# runs: with guides of two pixel models, and without
common="--preset toaster --threads 1 --batch 4 --steps 12"
for kind in prior default none; do
    run train "$s/$kind" -o "$s/run-$kind" $common --gap 2..4
    expect 0
done
prior=$s/run-prior/adapter.safetensors default=$s/run-default/adapter.safetensors none=$s/run-none/adapter.safetensors
run info "$prior"
check "the adapter names its pixel model" grep -q '^pixel model of guides: prior:' "$s/out"
run info "$default"
check "also a file" grep -q '^pixel model of guides: sha256:.* default.safetensors$' "$s/out"
run info "$none"
check "and none" sh -c "! grep -q 'pixel model' '$s/out'"

# render
way="$s/way.safetensors --space $space --frames 6 --gap-seconds 0.2"
run render "$s/v/scene-01.mp4@0" "$s/v/scene-01.mp4@0.2" -o $way --adapter "$prior" --json
expect 0 'guided by what prior (.*) sees between keyframes (1 of 1 ways)'
check "one way" [ "$(value guided_ways)" = 1 ]
run info "$s/way.safetensors" --tensors
check "how far it is followed" grep -q 'guide: F32 \[6\]' "$s/out"
run render "$s/v/scene-01.mp4@0" "$s/v/scene-01.mp4@0.2" -o $way --adapter "$default"
expect 0 'guided by what default.safetensors (sha256 .*) sees'
run render "$s/v/scene-01.mp4@0" "$s/v/scene-01.mp4@0.2" -o $way --adapter "$prior" --guide none
expect 0
check "not a word" [ -z "$(grep guide "$s/err")" ]
run render 'text:a red ball' "$s/v/scene-01.mp4@0.2" -o $way --adapter "$prior"
expect 0
check "none was asked for, none is missed" [ -z "$(grep guide "$s/err")" ]
run render 'text:a red ball' "$s/v/scene-01.mp4@0.2" -o $way --adapter "$prior" --guide prior
expect 0 'no guides: nowhere are both keyframes pictures'
rm "$s/way.safetensors"
run render "$s/v/scene-01.mp4@0" "$s/v/scene-01.mp4@0.2" -o $way --adapter "$prior" --guide "$pixels"
refused 1 'was trained with guides of the pixel model prior (.*), not of default.safetensors (sha256'
mv "$pixels" "$s/friday.safetensors"
run render "$s/v/scene-01.mp4@0" "$s/v/scene-01.mp4@0.2" -o $way --adapter "$default"
refused 1 'was trained with guides of the pixel model default.safetensors (sha256 .*): name it (--guide FILE)'
run render "$s/v/scene-01.mp4@0" "$s/v/scene-01.mp4@0.2" -o $way --adapter "$default" --guide "$s/gone.safetensors"
refused 1 'gone.safetensors'
absent "$s/way.safetensors"
run render "$s/v/scene-01.mp4@0" "$s/v/scene-01.mp4@0.2" -o $way --adapter "$default" --guide "$s/friday.safetensors"
expect 0 'guided by what friday.safetensors'
cp "$s/friday.safetensors" "$pixels"

# merge, train --init
run merge "$prior" "$default" -o "$s/merged.safetensors"
refused 1 'run-default/adapter.safetensors: was trained with guides of default.safetensors (sha256 .*), but .* with guides of prior'
run merge "$prior" "$none" -o "$s/merged.safetensors"
refused 1 'of no pixel model'
absent "$s/merged.safetensors"
run train "$s/prior" -o "$s/again" $common --init "$prior"
expect 0
run merge "$prior" "$s/again/adapter.safetensors" -o "$s/merged.safetensors"
expect 0
run info "$s/merged.safetensors" --check
check "the merged one has the same guides" grep -q '^pixel model of guides: prior:' "$s/out"
run train "$s/default" -o "$s/no" $common --init "$prior"
refused 1 'guides'
untouched "$s/no"

# pools: the first worker leaves the pixel adapter there; who has others is refused; who joins encodes with it
mkdir "$s/pool" "$s/pool-prior"
run train "$s/default" -o "$s/anna" $common --pool "$s/pool" --pool-steps 6 --pool-name anna
expect 0 'pool/guide.safetensors is the pixel adapter of the guides'
check "a copy" cmp "$pixels" "$s/pool/guide.safetensors"
run train "$s/prior" -o "$s/no" $common --pool "$s/pool" --pool-steps 6
refused 1 "pool/guide.safetensors: the pool's pixel model is guide.safetensors (sha256 .*), but the guides are of prior"
untouched "$s/no"
run encode "$s/v" -o "$s/joined" --space "$space" --guide "$s/pool/guide.safetensors" --guide-gaps 2,4 --guide-windows 3
expect 0
run train "$s/joined" -o "$s/bert" $common --pool "$s/pool" --pool-steps 6 --pool-name bert
expect 0 'beginning from the average of 1'
run pool "$s/pool"
expect 0
check "the table names the pixel model" grep -q 'guides of default.safetensors (sha256 .*), which is .*pool/guide.safetensors' "$s/out"
run pool "$s/pool" --json -o "$s/average.safetensors"
expect 0
check "so does the JSON" [ "$(value guide_file)" = True ]
run train "$s/prior" -o "$s/carl" $common --pool "$s/pool-prior" --pool-steps 6 --pool-name carl
expect 0
absent "$s/pool-prior/guide.safetensors"
run train "$s/default" -o "$s/dora" $common --pool "$s/pool-prior" --pool-steps 6 --pool-name dora
expect 0 'left out: .*carl.safetensors: trained with guides of prior (.*), expected those of default.safetensors'
report
