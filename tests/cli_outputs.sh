#!/usr/bin/env bash
# What a user has is never lost: outputs that are inputs, folders that hold pictures, files of other kinds, a full disk, Ctrl-C
# and SIGKILL. Every case looks at the user's bytes afterwards.
set -u
. tests/cli.bash
command -v ffmpeg >/dev/null || skip "ffmpeg is not here to make pictures"
s=$scratch

check "scenes are made" "$IB_SCENES" "$s/v" --count 2 --frames 25 --size 128x96
for i in 1 2; do
    check "picture $i is made" ffmpeg -nostdin -v error -ss 0.$((i * 3)) -i "$s/v/scene-01.mp4" -frames:v 1 "$s/$i.png"
done
run encode "$s/v" -o "$s/l" --size 64x48
run train "$s/l" -o "$s/run" --preset toaster --steps 2
expect 0
adapter=$s/run/adapter.safetensors
a=$s/1.png b=$s/2.png

# pristine NAME...: remembers what the user's files are; kept: they are the same bytes, and no others have come beside them
pristine() { (cd "$s" && sha256sum $*) >"$s/sums"; } # unquoted: patterns
kept() {
    check "$1: the user's files are as they were" sh -c "cd '$s' && sha256sum --quiet -c sums"
}
# names DIRECTORY: all there, hidden ones too
names() { ls -A "$1" | tr '\n' ' '; }
leaves() { check "$1 is in $2, found '$(names "$2")'" [ "$(names "$2")" = "$1" ]; }

# ---- an output that is an input: refused, whatever it is called, before anything is written

mkdir "$s/in"
cp "$a" "$s/in/a.png"
cp "$b" "$s/in/b.png"
cp "$s/v/scene-01.mp4" "$s/in/v.mp4"
cp "$adapter" "$s/in/adapter.safetensors"
cp "$s/l/scene-01.h5" "$s/in/l.h5"
echo "a red ball" >"$s/in/prompts.txt"
ln "$s/in/v.mp4" "$s/in/hard.mp4"
ln -s v.mp4 "$s/in/soft.mp4"
mkdir "$s/other"
ln -s ../in/v.mp4 "$s/other/v.mp4"
pristine 'in/*'
before=$(names "$s/in")
for place in in/v.mp4 in/hard.mp4 in/soft.mp4 other/v.mp4 in/../in/v.mp4; do
    run render "$s/in/v.mp4@0s" "$s/in/v.mp4@0.5s" -n 3 -o "$s/$place"
    refused 1 "$s/$place: is the input .*v.mp4 and would be lost"
done
run render "$s/in/a.png" "$s/in/b.png" -o "$s/in/b.png"
refused 1 'in/b.png' 'one picture'
run render "$s/in/a.png" "$s/in/b.png" -n 3 -o "$s/in/adapter.safetensors" --adapter "$s/in/adapter.safetensors"
expect 1
run eval "$s/in/v.mp4" --gap 4 --size 64x48 -o "$s/in/v.mp4"
refused 2 'in/v.mp4' 'report'
run eval "$s/in/v.mp4" --gap 4 --size 64x48 -o "$s/in/hard.mp4"
refused 2 'in/hard.mp4'
run eval "$s/in/l.h5" --gap 4 -o "$s/in/adapter.safetensors" -a "$s/in/adapter.safetensors"
refused 2 'in/adapter.safetensors'
ln -s ../in/l.h5 "$s/other/report"
run eval "$s/in/l.h5" --gap 4 -o "$s/other/report"
refused 1 'other/report: is the input'
run merge "$s/in/adapter.safetensors" "$adapter" -o "$s/in/adapter.safetensors"
refused 1 'in/adapter.safetensors: is the input'
ln "$s/in/adapter.safetensors" "$s/other/merged.safetensors"
run merge "$s/in/adapter.safetensors" "$adapter" -o "$s/other/merged.safetensors"
refused 1 'other/merged.safetensors: is the input'
run train "$s/l" -o "$s/in" --init "$s/in/adapter.safetensors" --preset toaster --steps 1
refused 1 'in/adapter.safetensors'
run train "$s/l" -o "$s/in" --init "$s/in/adapter.safetensors" --preset toaster --steps 1 --overwrite
refused 1 'in/adapter.safetensors: is the input'
mkdir "$s/links"
ln -s ../in/v.mp4 "$s/links/v.h5"
run encode "$s/in/v.mp4" -o "$s/links"
refused 1 'links/v.h5'
run encode "$s/in/v.mp4" -o "$s/links" --overwrite --force
refused 1 'links/v.h5'
run modality-gap "$s/in/l.h5" -s patch -p "$s/in/prompts.txt" -o "$s/in/prompts.txt"
refused 1 'in/prompts.txt: is the input'
run modality-gap "$s/in" -s patch -p "$s/in/prompts.txt" -o "$s/in/l.h5"
refused 1 'in/l.h5: is the input'
mkdir "$s/pool"
cp "$adapter" "$s/pool/worker.safetensors"
pristine 'in/*' 'pool/*'
run pool "$s/pool" -o "$s/pool/worker.safetensors"
refused 1 'pool/worker.safetensors: is the input'
run train "$s/l" -o "$s/pooled" --preset toaster --steps 1 --pool "$s/pool" --pool-name worker
refused 1 'pool/worker.safetensors: is no worker.s file'
kept "outputs that are inputs"
check "nothing came beside them" [ "$(names "$s/in")" = "$before" ]

# ---- one picture for many frames: the user's picture stays

cp "$a" "$s/last.png"
pristine last.png
run render "$a" "$b" -o "$s/last.png"
refused 1 'last.png: is one picture, and there are 25'
kept "a picture as the name of a clip"

# ---- pictures in a folder: left, unless --overwrite; complete or old

mkdir "$s/f"
check "25 pictures are made" ffmpeg -nostdin -v error -i "$s/v/scene-01.mp4" "$s/f/%04d.png"
cp "$s/f/0001.png" "$s/v0001.png"
pristine 'f/*'
before=$(names "$s/f")
for place in f/ f/%04d.png; do
    run render "$s/f/0001.png" "$s/f/0025.png" -n 5 -o "$s/$place"
    refused 1 'f/00..\.png: there is a picture of that name; --overwrite'
done
kept "a sequence over pictures"
check "nothing came beside them" [ "$(names "$s/f")" = "$before" ]
# a keyframe is never replaced, not even then
run render "$s/f/0001.png" "$s/f/0025.png" -n 30 -o "$s/f/" --overwrite
refused 1 'f/00..\.png: is the input'
kept "a sequence over its own keyframes"
check "nothing came beside them" [ "$(names "$s/f")" = "$before" ]
# stopped on the way, by every kind of signal: what was there stays
for signal in INT TERM KILL; do
    rm -rf "$s/f/.%04d.png.resume"
    interrupted $signal 'filled "$s/f/.%04d.png.resume" && [ -e "$s/f/.%04d.png.resume/part-000000003.png" ]' \
        render "$a" "$b" -n 3000 -o "$s/f/" --overwrite
    check "SIG$signal ended it, status $status" [ "$status" = "$([ $signal = KILL ] && echo 137 || echo 130)" ]
    [ $signal = KILL ] || expect 130 'kept in .*f/.%04d.png.resume, and the same command goes on'
    kept "a sequence that SIG$signal ended"
done
# another command begins anew, and replaces when all is whole
run render "$a" "$b" -n 4 -o "$s/f/" --overwrite
expect 0
check "no word of a run that was stopped" sh -c "! grep -q stopped '$s/out'"
check "pictures beyond the new ones stay" [ "$(names "$s/f")" = "$before" ]
(cd "$s" && grep -v 'f/000[1-4].png' sums >rest && mv rest sums)
kept "pictures beyond the new ones"
check "the new ones are new" sh -c "! cmp -s '$s/f/0001.png' '$s/v0001.png'"

# the same command goes on from where it was stopped, and ends with the same bytes
run render "$a" "$b" -n 40 -o "$s/whole/" --adapter "$adapter"
expect 0
leaves "$(seq -f %04g.png 40 | tr '\n' ' ')" "$s/whole"
for signal in INT KILL; do
    rm -rf "$s/parts"
    interrupted $signal '[ -e "$s/parts/.%04d.png.resume/part-000000002.png" ]' \
        render "$a" "$b" -n 40 -o "$s/parts/" --adapter "$adapter" --threads 1
    if [ -e "$s/parts/0040.png" ]; then
        skip_part "all frames were made before SIG$signal came"
        continue
    fi
    leaves ".%04d.png.resume " "$s/parts"
    run render "$a" "$b" -n 40 -o "$s/parts/" --adapter "$adapter" --threads 1 --json
    expect 0
    check "frames were taken up" [ "$(value taken_up)" -ge 2 ]
    check "the frames are those of one run" diff -r "$s/whole" "$s/parts"
done
# other options, another input: nothing is taken up
interrupted KILL '[ -e "$s/anew/.%04d.png.resume/part-000000002.png" ]' \
    render "$a" "$b" -n 3000 -o "$s/anew/" --threads 1
run render "$a" "$b" -n 5 -o "$s/anew/" --json
expect 0
check "nothing is taken up with other options" [ "$(value taken_up)" = 0 ]
leaves "$(seq -f %04g.png 5 | tr '\n' ' ')" "$s/anew"
# a run killed while it was publishing: the rest is published, what is there already is its own
interrupted KILL '[ -e "$s/again/.%04d.png.resume/part-000000002.png" ]' \
    render "$a" "$b" -n 40 -o "$s/again/" --adapter "$adapter" --threads 1
r=$s/again/.%04d.png.resume
if [ -d "$r" ]; then
    for i in $(seq 40); do cp "$s/whole/$(printf %04d "$i").png" "$r/$(printf part-%09d "$i").png"; done
    mv "$r/part-000000001.png" "$s/again/0001.png"
    mv "$r/part-000000002.png" "$s/again/0002.png"
    echo "publishing 40" >>"$r/key"
    run render "$a" "$b" -n 40 -o "$s/again/" --adapter "$adapter" --threads 1
    expect 0
    check "all are there" diff -r "$s/whole" "$s/again"
else
    skip_part "all frames were made before the signal came"
fi
# two at once: the second is told
set -m
"$INBETWEEN" render "$a" "$b" -n 3000 -o "$s/both/" >/dev/null 2>&1 </dev/null &
first=$!
set +m
for _ in $(seq 200); do [ -e "$s/both/.%04d.png.resume/part-000000001.png" ] && break || sleep 0.05; done
run render "$a" "$b" -n 3 -o "$s/both/"
refused 1 'both/.*another process is writing it'
kill -INT $first
wait $first
# something else in the way of the folder stays
mkdir -p "$s/way/.%04d.png.resume"
echo "mine" >"$s/way/.%04d.png.resume/notes.txt"
pristine way/.%04d.png.resume/notes.txt
run render "$a" "$b" -n 3 -o "$s/way/"
refused 1 'in the way'
kept "a folder of the user's in the way"

# ---- a clip of the same name: the new one whole, or the old one

cp "$s/v/scene-02.mp4" "$s/old.mp4"
pristine old.mp4
for signal in INT KILL; do
    interrupted $signal 'compgen -G "$s/.old.mp4.*.tmp" >/dev/null' render "$a" "$b" -n 20000 -o "$s/old.mp4"
    kept "a clip that SIG$signal ended"
    rm -f "$s"/.old.mp4.*.tmp
done
run render "$a" "$b" -n 3 -o "$s/old.mp4"
expect 0
check "a clip of the same name is replaced" sh -c "! cmp -s '$s/old.mp4' '$s/v/scene-02.mp4'"

# ---- files of other kinds under the names of latents, adapters, film strips

mkdir "$s/foreign"
/usr/bin/python3 -c 'import h5py, sys; h5py.File(sys.argv[1], "w")["mine"] = [1, 2, 3]' "$s/foreign/scene-01.h5" 2>/dev/null ||
    echo "something of the user's" >"$s/foreign/scene-01.h5"
pristine 'foreign/*'
run encode "$s/v/scene-01.mp4" -o "$s/foreign" --size 64x48
refused 1 'foreign/scene-01.h5: that is a file of another kind; --overwrite'
run encode "$s/v/scene-01.mp4" -o "$s/foreign" --size 64x48 --force
refused 1 '--overwrite'
kept "a file of another kind named as a latent file"
run encode "$s/v/scene-01.mp4" -o "$s/foreign" --size 64x48 --overwrite
expect 0
check "it is a latent file now" cmp -s "$s/foreign/scene-01.h5" "$s/l/scene-01.h5"
head -c 3000 "$s/l/scene-01.h5" >"$s/foreign/scene-01.h5"
run encode "$s/v/scene-01.mp4" -o "$s/foreign" --size 64x48
expect 0
check "a damaged one of ours is made anew" cmp -s "$s/foreign/scene-01.h5" "$s/l/scene-01.h5"

for name in adapter.safetensors log.csv samples/step-000002.png states/step-0000000007.h5; do
    mkdir -p "$s/r-$$/$(dirname "$name")"
    echo "the user's" >"$s/r-$$/$name"
    pristine "r-$$/$name"
    run train "$s/l" -o "$s/r-$$" --preset toaster --steps 1
    refused 1 "${name%/*}" 'overwrite'
    kept "$name in the directory of a new run"
    rm -rf "$s/r-$$"
done
mkdir "$s/again-run"
cp "$adapter" "$s/again-run/"
run train "$s/l" -o "$s/again-run" --preset toaster --steps 1 --overwrite
expect 0
check "--overwrite replaces the adapter" sh -c "! cmp -s '$s/again-run/adapter.safetensors' '$adapter'"
run train "$s/l" -o "$s/again-run" --preset toaster --steps 1 --overwrite
refused 1 'again-run: already holds a run'

mkdir "$s/strips"
cp "$a" "$s/strips/median.png"
pristine strips/median.png
run eval "$s/l" --gap 8 --windows-per-clip 1 --strips "$s/strips"
refused 1 'strips/median.png' 'overwrite'
kept "a picture named as a film strip"
leaves "median.png " "$s/strips"
run eval "$s/l" --gap 8 --windows-per-clip 1 --strips "$s/strips" --overwrite
expect 0
leaves "best.png median.png worst.png " "$s/strips"
cp "$s/l/scene-01.h5" "$s/strips/best.png"
pristine strips/best.png
run eval "$s/l" "$s/strips/best.png" --gap 8 --windows-per-clip 1 --strips "$s/strips" --overwrite
refused 1 'strips/best.png: is the input'
kept "an input named as a film strip"

# ---- what is replaced keeps its permissions; a file that may not be written is not replaced; closed streams spoil nothing

run render "$a" "$b" -n 3 -o "$s/mode.mp4"
chmod 600 "$s/mode.mp4"
run render "$a" "$b" -n 4 -o "$s/mode.mp4"
expect 0
check "a private clip stays private" [ "$(stat -c %a "$s/mode.mp4")" = 600 ]
if [ "$(id -u)" != 0 ]; then
    chmod 400 "$s/mode.mp4"
    run render "$a" "$b" -n 4 -o "$s/mode.mp4"
    refused 1 'mode.mp4: Permission denied'
else
    skip_part "root may write every file"
fi
for closed in '>&-' '2>&-' '<&- >&- 2>&-'; do
    bash -c "exec $closed; \"$INBETWEEN\" render \"$a\" \"$b\" -n 9 -o \"$s/closed.mp4\""
    run render "$a" "$b" -n 9 -o "$s/open.mp4"
    check "the clip is the same with $closed" cmp "$s/closed.mp4" "$s/open.mp4"
    rm -f "$s/closed.mp4"
done

# ---- results over files of another kind

cp "$a" "$s/mine.png"
cp "$s/run/state.h5" "$s/mine.h5"
pristine mine.png mine.h5
run merge "$adapter" "$adapter" -o "$s/mine.png"
refused 1 'mine.png: is a file of another kind'
run merge "$adapter" "$adapter" -o "$s/mine.h5"
refused 1 'mine.h5: is a file of another kind'
run pool "$s/pool" -o "$s/mine.png"
refused 1 'mine.png: is a file of another kind'
run eval "$s/l" --gap 8 -o "$s/mine.png"
refused 2 'mine.png'
run eval "$s/l" --gap 8 -o "$s/mine.h5"
refused 2 'mine.h5'
kept "results over files of another kind"
run train "$s/l" -o "$s/l" --preset toaster --steps 1
refused 1 'holds the latent files'
leaves "scene-01.h5 scene-02.h5 " "$s/l"

# ---- a full disk: what was there stays, nothing half-written is left under a name of the user's

full() { # full KILOBYTES ARGUMENT...: cwd is a small file system with the user's files from $s/disk on it
    words="(full disk) ${*:2}"
    status=0
    unshare -rm bash -c 'mount -t tmpfs -o size="$1"k tmpfs "$2" && cp -r "$3"/. "$2" && cd "$2" && shift 3 &&
        sha256sum $(find . -type f) >"$SUMS" && "$@"
        status=$?
        sha256sum --quiet -c "$SUMS" >"$BROKEN" 2>&1
        find . -type f ! -path "*.resume/*" | sort >"$LEFT"
        exit $status' - "$1" "$s/mnt" "$s/disk" "$INBETWEEN" "${@:2}" >"$s/out" 2>"$s/err" </dev/null || status=$?
    err=$(cat "$s/err")
}
export SUMS=$s/disk-sums BROKEN=$s/broken LEFT=$s/left
mkdir "$s/mnt" "$s/disk" "$s/disk/f" "$s/disk/run"
if unshare -rm mount -t tmpfs -o size=16k tmpfs "$s/mnt" 2>/dev/null; then
    cp "$s/v/scene-02.mp4" "$s/disk/clip.mp4"
    cp "$a" "$s/disk/f/0001.png"
    cp "$b" "$s/disk/f/0002.png"
    cp "$adapter" "$s/disk/merged.safetensors"
    echo "old" >"$s/disk/report.txt"
    room=$(($(du -sk --apparent-size "$s/disk" | cut -f1) + 60))
    was=$(cd "$s/disk" && find . -type f | sort)
    for job in "render $a $b -n 400 --crf 0 -o clip.mp4" "render $a $b -n 400 -o f/ --overwrite" \
        "merge $adapter $s/in/adapter.safetensors -o merged.safetensors" \
        "encode $s/v/scene-01.mp4 -o . --size 640x480" "train $s/l -o run --preset toaster --steps 1" \
        "eval $s/l --gap 2,3,4,5,6,8 -a $adapter -o report.html"; do
        full "$room" $job
        refused 1 'No space left on device'
        check "$job: the user's files are as they were: $(cat "$BROKEN")" [ ! -s "$BROKEN" ]
        check "$job: nothing half-written is left: $(tr '\n' ' ' <"$LEFT")" \
            [ "$(grep -v -e '/run/log.csv' -e '/run/.lock' "$LEFT")" = "$was" ]
    done
else
    skip_part "no small file system can be mounted here"
fi
report
