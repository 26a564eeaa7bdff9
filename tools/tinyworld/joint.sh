#!/bin/bash
# joint.sh CLIP FOLDER: trains in-between models of the spaces of CLIP, a folder, on videos of the world, and puts them beside its
# weights, as halves: adapter-pooled.safetensors, adapter-penultimate.safetensors. FOLDER keeps videos, latents and runs.
# $BUILD (build/) has the program, $PYTHON makes the videos, $MINUTES (5) is the time for each training.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
build=${BUILD:-$here/../../build}
clip=${1:?usage: joint.sh CLIP FOLDER} out=${2:?usage: joint.sh CLIP FOLDER}
mkdir -p "$out"
[ -e "$out/videos/0159.json" ] || "${PYTHON:-python3}" "$here/videos.py" "$out/videos" --count 160 --seed 31
printf '[{"source": "tools/tinyworld/videos.py --count 160 --seed 31", "licence": "CC0-1.0"}]\n' >"$out/sources.json"
for tokens in pooled penultimate; do
    "$build/inbetween" encode "$out/videos" -o "$out/$tokens" --space "clip:$clip" --tokens $tokens --guide-gaps 4,8,16 -q
    [ -e "$out/run-$tokens/adapter.safetensors" ] ||
        "$build/inbetween" train "$out/$tokens" -o "$out/run-$tokens" --preset toaster --minutes "${MINUTES:-5}" -q
    "$build/ib_publish_adapter" "$out/run-$tokens/adapter.safetensors" "$clip/adapter-$tokens.safetensors" 1 "$out/sources.json" \
        "For the tiny world's CLIP; it begins with guides of the default adapter."
done
