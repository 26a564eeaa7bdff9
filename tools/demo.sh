#!/usr/bin/env bash
# From nothing to films, in a few minutes: an in-between model is trained in the text-image space of the tiny world that comes
# with the program, judged on videos that were left out, and led through the world's diffusion model.
#   tools/demo.sh             in the tiny world
#   tools/demo.sh DIRECTORY   in pixels, on the videos in DIRECTORY (at least two): tools/demo_videos.sh
# DEMO_MINUTES: minutes of training (2). DEMO_OUT: where everything goes (demo-out). DEMO_PICTURES: two pictures of your own for
# the film by the pixel model.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
[ $# = 0 ] || exec "$top/tools/demo_videos.sh" "$@"
minutes=${DEMO_MINUTES:-2}
out=${DEMO_OUT:-$top/demo-out}
world=$top/examples/tinyworld

say() {
    printf '\n== %s\n' "$*" >&2
}

# The directory is ours to empty only if an earlier run of this script made it.
if [ -e "$out" ] && [ ! -e "$out/.made-by-demo" ]; then
    echo "demo.sh: $out is there already and is not mine; name another with DEMO_OUT" >&2
    exit 1
fi

say "Set-up"
"$top/tools/setup.sh"
inbetween=$top/build/inbetween
begun=$SECONDS
rm -rf "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd)
touch "$out/.made-by-demo"
clip=(--space clip:tinyworld)
drawn=("${clip[@]}" --renderer tinyworld --steps 12 --guidance 2)

say "Encoding: frames of 40 videos, and what the pixel model sees between them"
"$inbetween" encode "$world/train" -o "$out/latents/train" "${clip[@]}" --guide-gaps 4,8,16
"$inbetween" encode "$world/held" -o "$out/latents/held" "${clip[@]}" --guide-gaps 4,8,16

say "Training for $minutes minutes"
"$inbetween" train "$out/latents/train" -o "$out/run" --minutes "$minutes"
adapter=$out/run/adapter.safetensors

say "Evaluation on the videos left out"
"$inbetween" eval "$out/latents/held" -o "$out/evaluation.txt" -o "$out/evaluation.html" -a "$adapter" --gap 4,8,16

say "From picture to picture"
video=$world/held/0004.mp4 times=()
for k in 0 1 2 3 4 5 6 7 8; do # every other frame of 17, at 24 a second
    micro=$((500000 + k * 83334))
    times+=("@$((micro / 1000000)).$(printf %06d $((micro % 1000000)))s")
done
ends=("$video${times[0]}" "$video${times[8]}")
every=(--strength 1 --diffuse-every 1 --gap-seconds 0.667)
"$inbetween" render "${times[@]/#/$video}" -o "$out/filmed/" -n 2 --adapter none --size 64x64 -q
"$inbetween" render "${times[@]/#/$out/latents/held/0004.h5}" -o "$out/ceiling/" -n 2 "${drawn[@]}" --size 64x64 -q
"$inbetween" render "${ends[@]}" -o "$out/slerp/" "${drawn[@]}" "${every[@]}" -n 9 --adapter none --size 64x64 -q
"$inbetween" render "${ends[@]}" -o "$out/adapter/" "${drawn[@]}" "${every[@]}" -n 9 --adapter "$adapter" --size 64x64 -q
"$inbetween" render "${ends[@]}" -o "$out/pictures.mp4" "${drawn[@]}" --adapter "$adapter" --size 64x64 --gap-seconds 0.667

say "From prompt to prompt"
prompts=('text:a large red circle at the left on a gray background' 'text:a large red circle at the right on a gray background')
"$inbetween" render "${prompts[@]}" -o "$out/prompts.mp4" "${drawn[@]}" "${every[@]}" -n 25 --adapter "$adapter"
"$inbetween" render "${prompts[@]}" -o "$out/prompts/" "${drawn[@]}" "${every[@]}" -n 9 --adapter "$adapter" -q

say "In pixels alone"
if [ -n "${DEMO_PICTURES:-}" ]; then
    # shellcheck disable=SC2206
    pictures=($DEMO_PICTURES)
else
    "$top/build/ib_scenes" "$out/scene" --count 1 --frames 24 --seed 5 >/dev/null
    scene=("$out/scene"/*.mp4)
    pictures=("${scene[0]}@0.2s" "${scene[0]}@0.53s")
fi
"$inbetween" render "${pictures[@]}" -o "$out/pixels.mp4" --compare

"$top/tools/demo_page.sh" "$out"
say "Done in $((SECONDS - begun)) s without the build"
cat <<END
all on one page             $out/index.html
the model                   $adapter
how good it is              $out/evaluation.html (the tables: evaluation.txt)
films                       $out/pictures.mp4, $out/prompts.mp4, $out/pixels.mp4 (slerp | model)
END
