#!/usr/bin/env bash
# Search from end to end: a judge is trained, eval shows what a search by it finds, and what cannot be is refused in one sentence.
set -u
. tests/cli.bash
s=$scratch space="clip:tests/fixtures/clip-tiny"
export OMP_NUM_THREADS=1

check "scenes are made" "$IB_SCENES" "$s/v" --count 3 --frames 24 --size 96x64
run encode "$s/v" -o "$s/l" --space "$space" --guide prior --guide-gaps 4,8
expect 0
run train "$s/l" -o "$s/run" --preset toaster --threads 1 --batch 4 --steps 8 --gap 2..8
expect 0
adapter=$s/run/adapter.safetensors judge=$s/judge.safetensors

# train-judge
run train-judge "$s/l" -a "$adapter" -o "$judge" --samples 200 --epochs 2 --json
expect 0
check "a small network" [ "$(value parameters)" -lt 200000 ]
check "tried on another video" [ "$(value valid_videos)" = 1 ]
run train-judge "$s/l" -a "$adapter" -o "$s/again.safetensors" --samples 200 --epochs 2
expect 0
check "the same seed, the same bits" cmp "$judge" "$s/again.safetensors"
check "it says what it is worth" grep -q 'of two candidates it prefers the nearer one: 0\.[0-9]* (chance: 0.5)' "$s/out"
for kind in mean rank error real; do
    run train-judge "$s/l" -o "$s/$kind.safetensors" --kind $kind --samples 100 --epochs 1 -q
    expect 0
done
run train-judge "$s/l/scene-01.h5" "$s/l/scene-02.h5" --held "$s/l/scene-03.h5" -o "$s/held.safetensors" --samples 200 --epochs 1
expect 0
check "what it is worth on others still" grep -q '^of 50 places in 1 held-out videos:' "$s/out"
run train-judge "$s/l/scene-01.h5" "$s/l/scene-02.h5" -o "$s/not-held.safetensors" --samples 200 --epochs 1
check "which it does not see" cmp "$s/held.safetensors" "$s/not-held.safetensors"
run train-judge "$s/l" --held "$s/gone" -o "$s/no.safetensors"
refused 1 'gone'
run train-judge "$s/l" --held "$s/l/scene-03.h5" -o "$s/l/scene-03.h5"
refused 1 'scene-03.h5'
run train-judge "$s/l/scene-01.h5" -o "$s/no folder/judge.safetensors" # before it learns, which one video is too few for
refused 1 'cannot be written'
run train-judge "$s/l"
refused 2 '-o JUDGE is missing'
run train-judge "$s/l" -o "$s/no.safetensors" --kind taste
refused 1 "there is no kind of judge 'taste'; there are both, mean, rank, error, real"
run train-judge "$s/l/scene-01.h5" -o "$s/no.safetensors"
refused 1 '2 with windows are needed, there are 1'
run train-judge "$s/l" -o "$s/no.safetensors" -a "$INBETWEEN_SHARE/default.safetensors"
refused 1 'belongs to the space'
run train-judge "$s/l" -o "$s/l/scene-01.h5"
refused 1 'scene-01.h5'
run train-judge "$s/gone" -o "$s/no.safetensors"
refused 1 'gone'
absent "$s/no.safetensors"

# eval
search="--search 27 --judge $judge"
run eval "$s/l" -a "$adapter" --gap 4,8 $search --condense 27 --beam 2 -o "$s/report.json" -o "$s/report.html"
expect 0
check "what the search finds" grep -q '^search, condensed ' "$s/out"
check "what it could find" grep -q '^nearest candidate ' "$s/out"
check "beside the adapter" grep -q '^search against adapter: ' "$s/out"
run eval "$s/l" -a "$adapter" --gap 4,8 $search --condense 27 --beam 2 --threads 2 -o "$s/two.json"
check "any number of threads" cmp "$s/report.json" "$s/two.json"
check "in numbers" python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))
p = r["protocol"]
assert p["search"] == {"candidates": 27, "beam": 2, "condense": 27, "seconds": 0}, p["search"]
assert len(p["judge_sha256"]) == 64 and {m["kind"] for m in p["methods"]} >= {"search", "oracle"}' "$s/report.json"
run eval "$s/l" -a "$adapter" --gap 4 --search 27
expect 0
check "without a judge what could be found" grep -q '^nearest candidate ' "$s/out"
check "and nothing is found" sh -c "! grep -q '^search' '$s/out'"
run eval "$s/v/scene-01.mp4" --search 4 --judge "$judge"
refused 1 "a judge of the space '.*', but this evaluation is of 'patch"
run eval "$s/l" $search --search-seconds 0
refused 2 'search-seconds'
for n in 0 1000000; do
    run eval "$s/l" --search $n
    refused 2 'search'
done
run eval "$s/l" --search 4 --condense 5
refused 2 'condense'
run eval "$s/l" --judge "$judge"
refused 2 '--search N is missing'
run eval "$s/l" --search 4 --condense 2
refused 1 'takes a judge'
run eval "$s/v/scene-01.mp4" --size native --search 4
refused 1 "not at the videos' own size"
head -c 9000 "$judge" >"$s/short.safetensors"
run eval "$s/l" --search 4 --judge "$s/short.safetensors"
refused 1 'short.safetensors'
run eval "$s/l" --search 4 --judge "$adapter"
refused 1 'not a judge of in-betweens'

# render
way="$s/way.safetensors --space $space --frames 9 --gap-seconds 0.3 --adapter $adapter"
ends="$s/v/scene-01.mp4@0 $s/v/scene-01.mp4@0.3"
run render $ends -o $way
expect 0
cp "$s/way.safetensors" "$s/own.safetensors"
run render $ends -o $way --search 1 --judge "$judge"
expect 0
check "one candidate is the adapter's own answer" same_tensors "$s/way.safetensors" "$s/own.safetensors"
run render $ends -o $way $search --condense 27 --beam 2
expect 0
check "more are not" sh -c "! cmp -s '$s/way.safetensors' '$s/own.safetensors'"
cp "$s/way.safetensors" "$s/sought.safetensors"
run render $ends -o $way $search --condense 27 --beam 2 --threads 2
expect 0
check "any number of threads" cmp "$s/way.safetensors" "$s/sought.safetensors"
run render $ends -o $way $search --beam 2
check "all are condensed if nothing else is said" cmp "$s/way.safetensors" "$s/sought.safetensors"
run render $ends -o $way $search --beam 2 --condense 1
expect 0
check "the best alone is another" sh -c "! cmp -s '$s/way.safetensors' '$s/sought.safetensors'"
run render $ends -o $way $search --condense 27 --beam 2
run info "$s/way.safetensors"
check "the file says how" grep -q 'candidates 27 beam 2 condense 27' "$s/out"
run render $ends -o $way $search --search-seconds 0.001
expect 0
run render $ends -o $way --guide-scale 0
expect 0
run render $ends -o $way --guide-scale 1
check "a scale of 1 changes nothing" same_tensors "$s/way.safetensors" "$s/own.safetensors"
run eval "$s/l" -a "$adapter" --gap 4 --guide-scale 1.5 --json
expect 0
check "the scale is in the protocol" grep -q '"guide_scale": 1.5' "$s/out"
run eval "$s/l" --guide-scale 11
refused 2 'guide-scale'
run render $ends -o "$s/no.mp4" --guide-scale 2
refused 2 '--guide-scale is for spaces without pictures'
run render $ends -o "$s/no.safetensors" --space "$space" --search 4
refused 1 'takes a judge'
run render $ends -o "$s/no.mp4" --search 4 --judge "$judge"
refused 2 '--search is for spaces without pictures'
run render $ends -o "$judge" --space "$space" --search 4 --judge "$judge"
refused 1 'judge.safetensors'
absent "$s/no.safetensors" "$s/no.mp4"

# distil
common="$adapter $s/l $search --condense 27 --threads 1 --steps 6"
run distil $common -o "$s/distilled" --json
expect 0
check "all windows of all but one video" [ "$(value windows)" = $((2 * (5 + 2))) ]
check "validated on the other" [ "$(value valid_videos)" = 1 ]
run info "$s/distilled/adapter.safetensors"
check "the parent is named" grep -q 'adapter.safetensors' "$s/out"
check "and the judge" grep -q "$(sha256sum "$judge" | cut -c1-64)" "$s/out"
run info "$s/distilled/targets/000001.h5" --check
expect 0
check "targets have guides" grep -q 'pixel model: prior:' "$s/out"
run distil $common -o "$s/distilled"
refused 1 'there are targets already'
run distil $common -o "$s/once-more"
expect 0
check "the same bits" same_tensors "$s/distilled/adapter.safetensors" "$s/once-more/adapter.safetensors"
check "of targets too" cmp "$s/distilled/targets/000002.h5" "$s/once-more/targets/000002.h5"
run distil "$adapter" "$s/l" -o "$s/no"
refused 2 'are missing'
run distil "$adapter" "$s/l/scene-01.h5" $search -o "$s/no"
refused 1 'of 1 video none is left to validate on'
run distil "$INBETWEEN_SHARE/default.safetensors" "$s/l" $search -o "$s/no"
refused 1 'a judge of the space'
run distil "$adapter" "$s/l" --search 4 --judge "$s/short.safetensors" -o "$s/no"
refused 1 'short.safetensors'
run distil "$adapter" "$s/l" "$s/none" $search -o "$s/no"
refused 1 'none'
untouched "$s/no"
run eval "$s/l" $search -o "$judge"
refused 2 'a report'
report
