#!/usr/bin/env bash
# Trains in a text-image space and prints what that is worth on other videos: skill by gap of the adapter, of the
# guide alone, and of slerp's other rivals, for pooled embeddings and for hidden tokens. Not a test.
#   tests/bench_joint.sh CLIP TRAIN HELD [DIR]
# CLIP: a model as `encode --space clip:CLIP` takes it; TRAIN, HELD: directories of videos; DIR: where files go.
#   MINUTES_PIXELS (3), MINUTES_JOINT (4), SIZE (128x128) of the pixel model's training, GAPS (4,8,16,32), TOKENS ("pooled penultimate")
set -eu
[ $# -ge 3 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
clip=$1 train=$2 held=$3 out=${4:-$(mktemp -d)}
gaps=${GAPS:-4,8,16,32}
inbetween=$(dirname "$0")/../build/inbetween
timed() { local begun=$SECONDS; "$@"; echo "$((SECONDS - begun)) s: $2 $3" >&2; }
mkdir -p "$out"
if ! [ -f "$out/pixels/adapter.safetensors" ]; then
    timed "$inbetween" encode "$train" -o "$out/patch" --size "${SIZE:-128x128}" -q
    timed "$inbetween" train "$out/patch" -o "$out/pixels" --minutes "${MINUTES_PIXELS:-3}" -q
fi
for tokens in ${TOKENS:-pooled penultimate}; do
    for set in train held; do
        videos=$train
        [ $set = train ] || videos=$held
        timed "$inbetween" encode "$videos" -o "$out/$tokens-$set" --space "clip:$clip" --tokens "$tokens" \
            --guide "$out/pixels/adapter.safetensors" --guide-gaps "$gaps" -q
    done
    rm -rf "$out/$tokens"
    timed "$inbetween" train "$out/$tokens-train" -o "$out/$tokens" --minutes "${MINUTES_JOINT:-4}" -q
    echo "== $tokens"
    "$inbetween" eval "$out/$tokens-held" -a "$out/$tokens/adapter.safetensors" --gap "$gaps" -o "$out/$tokens.json"
    echo "== $tokens, --guide none"
    "$inbetween" eval "$out/$tokens-held" -a "$out/$tokens/adapter.safetensors" --gap "$gaps" --guide none
done
