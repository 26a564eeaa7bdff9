#!/usr/bin/env bash
# The latents of an image model's autoencoder as a space: encode, train, eval, render. The autoencoder has random weights.
set -u
. tests/cli.bash
s=$scratch space=vae:tests/fixtures/diffusion/pipeline
told() { check "it says '$1'" grep -qF -e "$1" "$s/out"; }
differ() { python3 tests/png_differ.py "$@"; }

"$IB_SCENES" "$s/videos" --count 5 --frames 24 --size 64x64 >/dev/null || exit 1
run encode "$s/videos" -o "$s/latents" --space $space --size 64x64
expect 0
told '5 encoded'
run train "$s/latents" -o "$s/run" --preset toaster --steps 20
expect 0
run eval "$s/latents" -a "$s/run/adapter.safetensors" --gap 4 -o "$s/report.json"
expect 0
run eval "$s/videos" -a "$s/run/adapter.safetensors" --gap 4 --space $space --size 64x64 -o "$s/report.json"
expect 0
check "of videos, pictures are judged" grep -q psnr "$s/report.json"
run render "$s/videos/scene-01.mp4@0" "$s/videos/scene-01.mp4@0.5" -o "$s/a-%d.png" -n 5 --space $space -a "$s/run/adapter.safetensors"
expect 0 'decoding'
cp "$s/a-1.png" "$s/first.png"
run render "$s/first.png" "$s/videos/scene-01.mp4@0.5" -o "$s/b-%d.png" -n 5 --space $space
expect 0
check "a keyframe is in the clip as it is" differ "$s/b-1.png" "$s/first.png" 0
check "what lies between is no keyframe" eval '! differ "$s/b-3.png" "$s/first.png" 0'
run render "$s/first.png" "$s/first.png" -o "$s/c-%d.png" -n 5 --space $space
expect 0
check "equal keyframes, equal frames between" differ "$s/c-2.png" "$s/c-4.png" 0
run render "$s/first.png" "$s/videos/scene-01.mp4@0.5" -o "$s/loop.mp4" -n 5 --loop --space $space
expect 0
told '8 frames of 64 x 64'

# refusals
run render 'text:a ball' "$s/first.png" -o "$s/no.mp4" --space $space
refused 1 'keyframes of a clip in the space vae:.* are pictures'
run render "$s/first.png" "$s/first.png" -o "$s/no.mp4" --space $space -a "$s/none.safetensors"
refused 1 'none.safetensors'
run render "$s/first.png" "$s/first.png" -o "$s/no.mp4" --space $space -a default
refused 2 'none comes with this space'
run render "$s/first.png" "$s/first.png" -o "$s/no.mp4" --space $space --preview-from "$s/videos"
refused 2 'spaces without pictures'
run render "$s/first.png" "$s/first.png" -o "$s/first.png" --space $space -n 3
refused 1 'first.png'
absent "$s/no.mp4"
report
