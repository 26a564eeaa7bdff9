#!/usr/bin/env bash
# inbetween train: the files of a run, resuming, and what is refused.
set -u
. tests/cli.bash
s=$scratch
check "scenes are made" "$IB_SCENES" "$s/v" --count 4 --frames 24 --size 128x96
run encode "$s/v" -o "$s/l" --size 64x48
expect 0

run train "$s/l" -o "$s/whole" --preset toaster --steps 6 --threads 2 --json
expect 0
check "--json is JSON" python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); assert d["valid_videos"] == 1, d' "$s/out"
check "the run has its files" ls "$s/whole/adapter.safetensors" "$s/whole/state.h5" "$s/whole/log.csv"
check "the log has a header and lines of as many fields" awk -F, 'NR == 1 { n = NF } NF != n { exit 1 } END { exit NR < 2 }' "$s/whole/log.csv"
check "film strips are PNG" sh -c "head -c 4 '$s'/whole/samples/*.png | grep -q PNG"

# in two parts the same bits as in one
run train "$s/l" -o "$s/parts" --preset toaster --steps 6 --threads 2 --quiet
expect 0
check "the same seed gives the same bits" same_tensors "$s/whole/adapter.safetensors" "$s/parts/adapter.safetensors"
run train "$s/l" -o "$s/parts" --resume --steps 8 --threads 2
expect 0
check "a larger budget goes on" grep -q '^8,' "$s/parts/log.csv"
run train "$s/l" -o "$s/parts" --resume --steps 8
expect 0 'complete'

# what a run was begun with is not changed on the way
for option in "--preset default" "--batch 3" "--lr 0.5" "--seed 7" "--gap 2..4" "--optimiser sgd"; do
    run train "$s/l" -o "$s/parts" --resume --steps 20 $option
    refused 1 'cannot be resumed with another'
done
run train "$s/l/scene-01.h5" "$s/l/scene-02.h5" -o "$s/parts" --resume --steps 20
refused 1 'cannot be resumed with other data'
run train "$s/l" --valid "$s/l/scene-01.h5" -o "$s/same" --preset toaster --steps 1
refused 1 'scene-01'
untouched "$s/same"
run train "$s/l" -o "$s/o" --minutes 1 --steps 1
refused 2 'minutes'
run train "$s/l" -o "$s/o" --gap 9..3 --steps 1
[ "$status" = 2 ] || refused 1 '9..3'
for optimiser in muon sgd nesterov; do
    run train "$s/l" -o "$s/$optimiser" --preset toaster --steps 2 --optimiser $optimiser
    expect 0
done
run train "$s/l" -o "$s/o" --preset toaster --steps 1 --optimiser adam
refused 1 'adamw, muon, sgd, nesterov'
run train "$s/l" -o "$s/o" --preset huge --steps 1
refused 1 'toaster, default or large'
untouched "$s/o"
report
