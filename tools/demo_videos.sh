#!/usr/bin/env bash
# From videos to a pixel model of their own and a clip made with it, in a few minutes. Training begins with the adapter that comes
# with the program where it is there.
#   tools/demo_videos.sh [DIRECTORY]   on the videos in DIRECTORY (at least two), or on moving scenes that it makes itself
# DEMO_MINUTES: minutes of training (3). DEMO_OUT: where everything goes (demo-out).
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
minutes=${DEMO_MINUTES:-3}
out=${DEMO_OUT:-$top/demo-out}
if [ $# -gt 1 ] || { [ $# = 1 ] && [ ! -d "$1" ]; }; then
    echo "Usage: tools/demo_videos.sh [DIRECTORY WITH VIDEOS]" >&2
    exit 2
fi
own=
[ $# = 0 ] || own=$(cd "$1" && pwd)

say() {
    printf '\n== %s\n' "$*" >&2
}

# The directory is ours to empty only if an earlier run of this script made it.
if [ -e "$out" ] && [ ! -e "$out/.made-by-demo" ]; then
    echo "demo_videos.sh: $out is there already and is not mine; name another with DEMO_OUT" >&2
    exit 1
fi

say "Set-up"
"$top/tools/setup.sh"
inbetween=$top/build/inbetween
rm -rf "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd)
touch "$out/.made-by-demo"

say "Videos"
videos=$own
if [ -z "$own" ]; then
    videos=$out/videos
    "$top/build/ib_scenes" "$videos" --count 24 --frames 96 --seed 1
fi
# Split by video, never within one: every fourth is left out of training and kept for the evaluation.
train=() heldout=() n=0
while IFS= read -r -d '' video; do
    n=$((n + 1))
    if [ $((n % 4)) = 2 ]; then heldout+=("$video"); else train+=("$video"); fi
done < <(find "$videos" -maxdepth 1 -type f -o -maxdepth 1 -type l | LC_ALL=C sort | tr '\n' '\0' |
    grep -ziE '\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|ts|m2ts|wmv|flv|ogv|3gp|y4m)$')
if [ ${#heldout[@]} = 0 ]; then
    echo "demo_videos.sh: $videos holds $n videos; at least two are needed, one to learn from and one to judge by" >&2
    exit 1
fi
echo "${#train[@]} videos to learn from, ${#heldout[@]} left out to judge by" >&2

say "Encoding"
"$inbetween" encode "${train[@]}" -o "$out/latents/train"
"$inbetween" encode "${heldout[@]}" -o "$out/latents/heldout"

say "Training for $minutes minutes"
"$inbetween" train "$out/latents/train" -o "$out/run" --minutes "$minutes"

say "Evaluation on the videos left out"
"$inbetween" eval "$out/latents/heldout" -o "$out/evaluation.txt" -o "$out/evaluation.html" --adapter "$out/run/adapter.safetensors" --gap 8

say "A clip from two frames of a video that was left out"
keyframes=("${heldout[0]}@0.5s" "${heldout[0]}@0.83s")
clip() {
    "$inbetween" render "$@" -o "$out/clip.mp4" --adapter "$out/run/adapter.safetensors" --frames 33 --gap-seconds 0.33 --compare
}
clip "${keyframes[@]}" || clip "${heldout[0]}" "${heldout[0]}@0.2s" # a very short video

picture=$(find "$out/run/samples" -name '*.png' | LC_ALL=C sort | tail -1)
say "Done"
cat <<END
videos that were left out   $(printf '%s ' "${heldout[@]##*/}")
the model                   $out/run/adapter.safetensors
how training went           $out/run/log.csv
how good it is              $out/evaluation.html (the tables: evaluation.txt)
a clip, slerp | model       $out/clip.mp4
a picture to look at        $picture
                            (rows: what was filmed, slerp, the model)
END
