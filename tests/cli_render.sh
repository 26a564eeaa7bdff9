#!/usr/bin/env bash
# inbetween render: what the clip is, by its name and options.
set -u
. tests/cli.bash
s=$scratch
command -v ffprobe >/dev/null || skip "ffprobe is not here to look at the clips"

check "scenes are made" "$IB_SCENES" "$s/v" --count 3 --frames 24 --size 128x96
check "an odd one is made" ffmpeg -nostdin -v error -f lavfi -i testsrc=size=97x63:rate=5:duration=1 -pix_fmt yuv420p -c:v ffv1 "$s/odd.mkv"
run encode "$s/v" -o "$s/l" --size 64x48
run train "$s/l" -o "$s/run" --preset toaster --steps 2
expect 0
adapter=$s/run/adapter.safetensors
a=$s/v/scene-01.mp4@0.1s b=$s/v/scene-01.mp4@0.5s c=$s/v/scene-02.mp4

# is FILE WORDS: codec, size, frames
is() {
    local found
    found=$(ffprobe -v error -select_streams v:0 -count_frames -show_entries stream=codec_name,width,height,nb_read_frames \
        -of csv=p=0 "$1" | tr ',' ' ')
    check "$(basename "$1") is '$2', found '$found'" [ "$found" = "$2" ]
}

for kind in "mp4 h264" "m4v h264" "mov h264" "mkv h264" "webm vp9" "gif gif" "apng apng"; do
    run render "$a" "$b" -o "$s/clip.${kind% *}" --frames 5 --fps 10
    expect 0
    is "$s/clip.${kind% *}" "${kind#* } 128 96 5"
done
run render "$a" "$b" -o "$s/clip.xyz" --frames 5
refused 1 'clip.xyz'
run render "$a" "$b" -o "$s/other.mkv" --frames 5 --codec ffv1
expect 0
is "$s/other.mkv" "ffv1 128 96 5"
run render "$a" "$b" -o "$s/none.mkv" --frames 5 --codec no-such-codec
refused 1 'no-such-codec'
absent "$s/clip.xyz" "$s/none.mkv"

# how long: from one keyframe to the next, both counted
run render "$a" "$b" "$c" -o "$s/chain.mp4" --frames 5
expect 0
is "$s/chain.mp4" "h264 128 96 9"
run render "$a" "$b" "$c" -o "$s/loop.mp4" --frames 5 --loop
is "$s/loop.mp4" "h264 128 96 12"
run render "$a" "$b" -o "$s/seconds.mp4" --seconds 0.5 --fps 10
is "$s/seconds.mp4" "h264 128 96 6"
run render "$a" "$b" -o "$s/both.mp4" --seconds 0.5 --frames 5
refused 2 '\-\-frames and --seconds'

# with an adapter, and slerp beside it
run render "$a" "$b" -o "$s/model.mp4" --frames 5 --adapter "$adapter" --ease
expect 0
is "$s/model.mp4" "h264 128 96 5"
run render "$a" "$b" -o "$s/pair.mp4" --frames 5 --adapter "$adapter" --compare --json
expect 0
is "$s/pair.mp4" "h264 256 96 5"
check "--json is JSON" python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); assert d["frames"] == 5 and d["width"] == 256, d' "$s/out"
run render "$a" "$b" -o "$s/no.mp4" --frames 5 --compare --adapter none
refused 2 '\-\-compare'
run render "$a" "$b" -o "$s/trust.mp4" --frames 5 --adapter "$adapter" --ease --trust 0
expect 0
check "--trust makes a difference" bash -c '! cmp -s "$1" "$2"' - "$s/model.mp4" "$s/trust.mp4"
run render "$a" "$b" -o "$s/no.mp4" --frames 5 --trust 1 --adapter none
refused 2 '\-\-trust'

# another size; odd ones are padded for H.264 and kept where they can be
run render "$a" "$b" -o "$s/small.mp4" --frames 3 --size 64x64
is "$s/small.mp4" "h264 64 64 3"
run render "$s/odd.mkv@0" "$s/odd.mkv@0.8" -o "$s/odd.mp4" --frames 3
is "$s/odd.mp4" "h264 98 64 3"
run render "$s/odd.mkv@0" "$s/odd.mkv@0.8" -o "$s/frames/" --frames 3 --adapter "$adapter"
expect 0
check "a directory gets numbered pictures" [ "$(ls "$s/frames" | wc -l)" = 3 ]
is "$(ls "$s/frames"/*.png | head -1)" "png 97 63 1"

# the keyframes are in the clip as they are: a lossless one shows their own samples
run render "$a" "$c" -o "$s/exact.mkv" --frames 4 --codec ffv1 --adapter "$adapter"
hash_of() { ffmpeg -nostdin -v error -i "$1" -vf "select=eq(n\,$2)" -frames:v 1 -f framemd5 - | tail -1 | sed 's/.*, *//'; }
check "the last frame is the last keyframe" [ "$(hash_of "$s/exact.mkv" 3)" = "$(hash_of "$c" 0)" ]
report
