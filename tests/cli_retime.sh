#!/usr/bin/env bash
# inbetween retime: what the clip is, what it takes over, how it goes on after a kill, and what is refused.
set -u
. tests/cli.bash
s=$scratch
command -v ffprobe >/dev/null || skip "ffprobe is not here to look at the clips"

make() { check "$1 is made" ffmpeg -nostdin -v error -y "${@:2}" "$s/$1"; }
# field FILE STREAM ENTRY: as ffprobe tells it
field() { ffprobe -v error -select_streams "$2" -show_entries "$3" -of default=nw=1:nk=1 "$1" | head -1; }
# is FILE STREAM ENTRY WANTED
is() {
    local found
    found=$(field "$1" "$2" "$3")
    check "$(basename "$1"): $3 of $2 is '$4', found '$found'" [ "$found" = "$4" ]
}
# about FILE STREAM ENTRY WANTED TOLERANCE
about() {
    local found
    found=$(field "$1" "$2" "$3")
    check "$(basename "$1"): $3 of $2 is $4 within $5, found '$found'" python3 -c 'import sys; f, w, t = map(float, sys.argv[1:]); assert abs(f - w) <= t' "$found" "$4" "$5"
}
# times FILE: of its frames
times() { ffprobe -v error -select_streams v:0 -show_entries frame=best_effort_timestamp_time -of csv=p=0 "$1" | tr -d ','; }

x264=(-c:v libx264 -preset ultrafast -pix_fmt yuv420p)
tags=(-colorspace bt709 -color_primaries bt709 -color_trc bt709)
make plain.mp4 -f lavfi -i testsrc2=size=160x90:rate=10:duration=2 -f lavfi -i sine=440:duration=2:sample_rate=44100 "${x264[@]}" "${tags[@]}" \
    -c:a aac -metadata title='A title' -metadata:s:a:0 language=deu -shortest

# the rate, with everything else as it was
run retime "$s/plain.mp4" -o "$s/fps.mp4" --fps 20
expect 0
is "$s/fps.mp4" v:0 stream=avg_frame_rate 20/1
is "$s/fps.mp4" v:0 stream=nb_frames 40
is "$s/fps.mp4" v:0 stream=color_space bt709
is "$s/fps.mp4" v:0 stream=color_primaries bt709
is "$s/fps.mp4" v:0 stream=color_transfer bt709
is "$s/fps.mp4" a:0 stream=codec_name aac
is "$s/fps.mp4" a:0 stream_tags=language deu
is "$s/fps.mp4" a:0 format_tags=title 'A title'
sound() { ffmpeg -nostdin -v error -i "$1" -map a:0 -c copy -f md5 -; }
check "sound is copied, packet by packet" [ "$(sound "$s/fps.mp4")" = "$(sound "$s/plain.mp4")" ]
check "frames stand exactly at k/20" bash -c 'times() { '"$(declare -f times | sed '1,2d;$d')"'; }; times "$1" | python3 -c "import sys
t = [float(x) for x in sys.stdin.read().split()]
assert len(t) == 40 and all(abs(x - k / 20) < 1e-6 for k, x in enumerate(t)), t"' - "$s/fps.mp4"
run retime "$s/plain.mp4" -o "$s/ntsc.mp4" --fps 59.94 --no-sound --json
expect 0
is "$s/ntsc.mp4" v:0 stream=avg_frame_rate 60000/1001
check "--no-sound leaves it out" [ -z "$(field "$s/ntsc.mp4" a stream=index)" ]
check "--json is JSON" python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); assert d["frames"] == d["made"] + d["of_the_source"] + d["repeated"] == 120, d' "$s/out"
run retime "$s/plain.mp4" -o "$s/fraction.mp4" --fps 60000/1001 --no-sound
check "the fraction is the same rate" cmp "$s/ntsc.mp4" "$s/fraction.mp4"

# slower: sound stretched, pitch kept
run retime "$s/plain.mp4" -o "$s/slow.mp4" --slow 2.5
expect 0
is "$s/slow.mp4" v:0 stream=avg_frame_rate 10/1
is "$s/slow.mp4" v:0 stream=nb_frames 50
about "$s/slow.mp4" a:0 stream=duration 5 0.1
is "$s/slow.mp4" a:0 stream_tags=language deu
ffmpeg -nostdin -v error -ss 1 -t 2 -i "$s/slow.mp4" -map a:0 -ac 1 -ar 44100 -f s16le "$s/pitch"
check "the tone is still of 440 Hz" python3 -c 'import array, sys
a = array.array("h", open(sys.argv[1], "rb").read())
f = sum((x < 0) != (y < 0) for x, y in zip(a, a[1:])) / 2 / (len(a) / 44100)
assert abs(f - 440) < 4, f' "$s/pitch"
# what does not fit is encoded anew or left out, and said
run retime "$s/plain.mp4" -o "$s/web.webm" --fps 20
expect 0
is "$s/web.webm" a:0 stream=codec_name opus
about "$s/web.webm" a:0 format=duration 2 0.1

# subtitles, chapters
printf '1\n00:00:00,500 --> 00:00:01,500\nhello\n' >"$s/words.srt"
printf ';FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=1000\nEND=2000\ntitle=second\n' >"$s/chapters"
make talk.mkv -i "$s/plain.mp4" -i "$s/words.srt" -i "$s/chapters" -map 0 -map 1 -map_metadata 2 -c copy -c:s srt
run retime "$s/talk.mkv" -o "$s/talk-slow.mkv" --slow 2
expect 0
about "$s/talk-slow.mkv" s:0 packet=pts_time 1 0.1 # Matroska moves all streams so that none begins below 0
about "$s/talk-slow.mkv" s:0 packet=duration_time 2 0.002
about "$s/talk-slow.mkv" v:0 chapter=start_time 2 0.1
run retime "$s/talk.mkv" -o "$s/talk.mp4" --fps 20
expect 0 'left out: subtitles (subrip)'
is "$s/talk.mp4" a:0 stream=codec_name aac

# shape of samples, rotation
make oblong.mp4 -f lavfi -i testsrc2=size=144x96:rate=10:duration=1 -vf setsar=16/15 "${x264[@]}"
run retime "$s/oblong.mp4" -o "$s/oblong2.mp4" --fps 20
expect 0
is "$s/oblong2.mp4" v:0 stream=width 144
is "$s/oblong2.mp4" v:0 stream=sample_aspect_ratio 16:15
make turned.mp4 -i "$s/oblong.mp4" -c copy -metadata:s:v:0 rotate=90
rotation=$(field "$s/turned.mp4" v:0 stream_side_data=rotation) # 90 or -90, by FFmpeg's version
if [ -n "$rotation" ]; then
    run retime "$s/turned.mp4" -o "$s/turned2.mp4" --fps 20
    expect 0
    is "$s/turned2.mp4" v:0 stream=width 144
    is "$s/turned2.mp4" v:0 stream=sample_aspect_ratio 16:15
    is "$s/turned2.mp4" v:0 stream_side_data=rotation "$rotation"
    run retime "$s/turned.mp4" -o "$s/turned2.mkv" --fps 20 # which cannot say it
    expect 0
    is "$s/turned2.mkv" v:0 stream=width 96
    is "$s/turned2.mkv" v:0 stream=sample_aspect_ratio 15:16
else
    skip_part "this FFmpeg does not write rotations by -metadata rotate"
fi

# variable rate: frames at 0, 0.1, 0.2, 0.5 and 0.6 s; those that are on the grid are passed on as they are
make lossless.mkv -f lavfi -i testsrc2=size=96x64:rate=10:duration=0.5 -pix_fmt yuv420p -c:v ffv1
make varied.mkv -i "$s/lossless.mkv" -vf "setpts='(N+gte(N,3)*2)*0.1/TB'" -fps_mode vfr -c:v ffv1
run retime "$s/varied.mkv" -o "$s/even.mkv" --fps 20 --codec ffv1
expect 0
hashes() { ffmpeg -nostdin -v error -i "$1" -f framemd5 - | sed -n '/^0/s/.*, *//p'; }
check "frames of a variable rate stand where they were" bash -c 'a=($1) b=($2); [ "${a[0]} ${a[1]} ${a[2]} ${a[3]} ${a[4]}" = "${b[0]} ${b[2]} ${b[4]} ${b[10]} ${b[12]}" ]' - \
    "$(hashes "$s/varied.mkv")" "$(hashes "$s/even.mkv")"

# other outputs
run retime "$s/plain.mp4" -o "$s/pictures/" --fps 20
expect 0
check "a directory gets numbered pictures" [ "$(ls "$s/pictures" | wc -l)" = 40 ]
run retime "$s/plain.mp4" -o "$s/pictures/" --fps 20
refused 1 'overwrite'
run retime "$s/plain.mp4" -o "$s/small.gif" --fps 20
expect 0

# killed and stopped: the same bytes
make long.mp4 -f lavfi -i testsrc2=size=320x180:rate=30:duration=12 -f lavfi -i sine=440:duration=12 "${x264[@]}" -c:a aac
if [ -z "${IB_INSTRUMENTED:-}" ]; then # which takes minutes for the first part
    run retime "$s/long.mp4" -o "$s/whole.mp4" --fps 60
    expect 0
    there() { [ -e "$s/.again.mp4.resume/part-000000001.part" ]; }
    interrupted KILL there retime "$s/long.mp4" -o "$s/again.mp4" --fps 60
    check "it was killed on the way" [ "$status" = 137 ]
    absent "$s/again.mp4"
    rm -f "$s"/.*.tmp
    interrupted INT '[ -e "$s/.again.mp4.resume/part-000000002.part" ]' retime "$s/long.mp4" -o "$s/again.mp4" --fps 60
    refused 130 'again.mp4.resume'
    run retime "$s/long.mp4" -o "$s/again.mp4" --fps 60
    expect 0
    check "it says what it took up" grep -q 'from a run that was stopped' "$s/out"
    check "killed and gone on with, it has the same bytes" cmp "$s/whole.mp4" "$s/again.mp4"
    check "nothing is left of the parts" [ ! -e "$s/.again.mp4.resume" ]
fi

# refused
mkdir "$s/no"
run retime "$s/plain.mp4" -o "$s/no/a.mp4"
refused 2 '\-\-fps R or --slow X'
run retime "$s/plain.mp4" -o "$s/no/a.mp4" --fps 20 --slow 2
refused 2 'give one'
for rate in 0 -1 1e9 nan inf x 30/0 30/ 1001/30000x; do
    run retime "$s/plain.mp4" -o "$s/no/a.mp4" "--fps=$rate"
    refused 2 '\-\-fps takes'
done
run retime "$s/plain.mp4" -o "$s/no/a.mp4" --slow 0.5
refused 2 '\-\-slow'
run retime "$s/plain.mp4" --fps 20
refused 2 '\-o CLIP is missing'
run retime "$s/plain.mp4" -o "$s/no/a.mp4" --fps 20 --trust 1 --adapter none
refused 2 '\-\-trust'
run retime "$s/nothing.mp4" -o "$s/no/a.mp4" --fps 20
refused 1 'nothing.mp4: cannot be opened'
: >"$s/empty.mp4"
run retime "$s/empty.mp4" -o "$s/no/a.mp4" --fps 20
refused 1 'empty.mp4: is empty'
make picture.png -i "$s/plain.mp4" -frames:v 1
run retime "$s/picture.png" -o "$s/no/a.mp4" --fps 20
refused 1 'picture.png: is a picture'
make sound.m4a -i "$s/plain.mp4" -vn -c copy
run retime "$s/sound.m4a" -o "$s/no/a.mp4" --fps 20
refused 1 'sound.m4a: holds no video'
run retime "$s/plain.mp4" -o "$s/no/a.mp4" --fps 20 --adapter "$s/words.srt"
refused 1 'words.srt'
run retime "$s/plain.mp4" -o "$s/no/a.xyz" --fps 20
refused 1 'a.xyz: its ending'
run retime "$s/plain.mp4" -o "$s/no/a.mp4" --fps 20 --codec no-such-codec
refused 1 'no-such-codec'
run retime "$s/plain.mp4" -o "$s/no/there/a.mp4" --fps 20
refused 1 'no/there'
untouched "$s/no"
cp "$s/plain.mp4" "$s/kept.mp4"
run retime "$s/plain.mp4" -o "$s/plain.mp4" --fps 20
refused 1 'is the input'
ln "$s/plain.mp4" "$s/second.mp4"
run retime "$s/plain.mp4" -o "$s/second.mp4" --fps 20
refused 1 'is the input'
check "the video is as it was" cmp "$s/plain.mp4" "$s/kept.mp4"
cp "$s/words.srt" "$s/old.mp4"
run retime "$s/plain.mp4" -o "$s/old.mp4" --fps 20
expect 0
is "$s/old.mp4" v:0 stream=nb_frames 40 # a clip is replaced, as render does

# a damaged tail: what is there, and a warning
make whole.mkv -i "$s/plain.mp4" -c copy
head -c $(($(stat -c %s "$s/whole.mkv") * 2 / 3)) "$s/whole.mkv" >"$s/cut.mkv"
run retime "$s/cut.mkv" -o "$s/cut.mp4" --fps 20
expect 0
head -c 3000 "$s/plain.mp4" >"$s/head.mp4"
run retime "$s/head.mp4" -o "$s/no/a.mp4" --fps 20
refused 1 'head.mp4'
untouched "$s/no"

# a disk that is full: one sentence, nothing under the name
words="retime with a limit on the size of files"
status=0
(ulimit -f 40 && exec "$INBETWEEN" retime "$s/long.mp4" -o "$s/no/full.mp4" --fps 60) >"$s/out" 2>"$s/err" || status=$?
refused 1 'full.mp4'
check "no clip is there" [ ! -e "$s/no/full.mp4" ]
report
