#!/usr/bin/env bash
# What pictures are, by the program: shape, dynamic range, fields, streams, formats, and which latent files are kept.
set -u
. tests/cli.bash
s=$scratch
command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null || skip "ffmpeg is not here"
for python in python3 /usr/bin/python3 ''; do "$python" -c 'import numpy, h5py' 2>/dev/null && break; done
[ -n "$python" ] || skip "python3 with numpy and h5py is not here"
python3() { command "$python" "$@"; }

make() { # make FILE ARGUMENT...: by ffmpeg
    local file=$1
    shift
    check "$(basename "$file") is made" ffmpeg -nostdin -y -v error "$@" "$file"
}
said() { grep -q -e "$1" "$s/out"; }
warned() { grep -q -e "$1" "$s/err"; }
times() { [ "$(grep -c -e "$2" "$s/err")" = "$1" ]; }

circle="format=gray,geq=lum='if(lt(hypot(X-426.5,Y-239.5),160),235,16)',format=yuv420p"
make "$s/dvd.mpg" -f lavfi -i color=black:s=854x480:r=25:d=1 -vf "$circle,scale=720:480,setsar=32/27" -c:v mpeg2video -q:v 2
make "$s/square.mp4" -f lavfi -i testsrc2=s=128x96:r=25:d=1 -c:v libx264 -pix_fmt yuv420p
make "$s/fields.mpg" -f lavfi -i testsrc2=s=360x288:r=50:d=1 -vf tinterlace=interleave_top,setfield=tff -c:v mpeg2video \
    -q:v 3 -flags +ilme+ildct

# ---- shape ----
run info "$s/dvd.mpg"
expect 0
check "the shape of samples is named" said '^sample aspect ratio: 32:27$'
check "the stored size is named" said '^stored size: 720 x 480$'
check "the size is that of square samples" said '^frame size: 853 x 480$'
run info "$s/square.mp4"
check "nothing is said of square samples" eval '! grep -q aspect "$s/out"'
run render "$s/dvd.mpg@0s" "$s/dvd.mpg@0.5s" -n 3 -o "$s/dvd-%d.png"
expect 0
run render "$s/dvd.mpg@0s" "$s/dvd.mpg@0.5s" -n 3 -o "$s/dvd.mkv"
expect 0
cat >"$s/round.py" <<'PY'
# The bright spot's width over its height, of a picture or the latents of one, by its spread.
import subprocess, sys
import numpy as np
if sys.argv[1].endswith(".h5"):
    import h5py
    f = h5py.File(sys.argv[1])
    z = f["latents"][0].astype(float)
    rows, cols = int(f.attrs["rows"]), int(f.attrs["cols"])
    a = z[:, z.var(axis=0).argmax()].reshape(rows, cols)  # the mean of luma, which varies most
else:
    size = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "stream=width,height", "-of", "csv=p=0", sys.argv[1]],
                          capture_output=True, text=True).stdout.strip().split(",")
    cols, rows = int(size[0]), int(size[1])
    raw = subprocess.run(["ffmpeg", "-v", "error", "-i", sys.argv[1], "-frames:v", "1", "-pix_fmt", "gray", "-f", "rawvideo", "-"],
                         capture_output=True).stdout
    a = np.frombuffer(raw, np.uint8).reshape(rows, cols).astype(float)
a = np.abs(a - a[0, 0])
spread = lambda v: np.sqrt(np.average((np.arange(len(v)) - np.average(np.arange(len(v)), weights=v)) ** 2, weights=v))
ratio = spread(a.sum(axis=0)) / spread(a.sum(axis=1))
print(sys.argv[1], "%.4f wanted 1 within 0.02" % ratio)
sys.exit(bool(abs(ratio - 1) > 0.02))
PY
check "a circle is round in pictures" python3 "$s/round.py" "$s/dvd-2.png"
check "a circle is round in a clip" python3 "$s/round.py" "$s/dvd.mkv"
run encode "$s/dvd.mpg" -o "$s/shape" --size 848x480
expect 0
check "a circle is round in latents" python3 "$s/round.py" "$s/shape/dvd.h5"
run encode "$s/dvd.mpg" -o "$s/shape2" --size 848x480 --fit squash
run encode "$s/dvd.mpg" -o "$s/shape3" --size 480x480
check "and where sides are cut off" python3 "$s/round.py" "$s/shape3/dvd.h5"
run eval "$s/fields.mpg" "$s/dvd.mpg" --size native --gap 4 --json
expect 0
check "eval's own size is that of square samples" eval "grep -q '\"width\": 853' '$s/out' || grep -q '\"width\":853' '$s/out'"

# ---- dynamic range ----
hdr="format=gbrp10le,setparams=color_primaries=bt709:color_trc=bt709,zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt2020"
tags="-color_primaries bt2020 -colorspace bt2020nc -color_range tv"
make "$s/pq.mp4" -f lavfi -i color=white:s=128x96:r=25:d=1 -vf "$hdr:t=smpte2084:m=bt2020nc:r=limited:npl=203,format=yuv420p10le" \
    -c:v libx264 -qp 4 $tags -color_trc smpte2084
make "$s/hlg.mp4" -f lavfi -i color=white:s=128x96:r=25:d=1 -vf "$hdr:t=arib-std-b67:m=bt2020nc:r=limited:npl=203,format=yuv420p10le" \
    -c:v libx264 -qp 4 $tags -color_trc arib-std-b67
make "$s/wide.mp4" -f lavfi -i color=white:s=128x96:r=25:d=1 -c:v libx264 -qp 4 -pix_fmt yuv420p $tags -color_trc bt2020-10
make "$s/sdr.png" -f lavfi -i color=gray:s=128x96 -frames:v 1
run info "$s/pq.mp4"
check "PQ is named" said '^dynamic range: HDR (PQ, BT.2020), read as SDR BT.709$'
run info "$s/hlg.mp4"
check "HLG is named" said '^dynamic range: HDR (HLG, BT.2020), read as SDR BT.709$'
run info "$s/wide.mp4"
check "wide gamut is named" said '^dynamic range: SDR (BT.2020), read as SDR BT.709$'
run info "$s/square.mp4"
check "nothing is said of SDR" eval '! grep -q dynamic "$s/out"'
run render "$s/pq.mp4@0s" "$s/sdr.png" -n 3 -o "$s/mixed.mp4"
expect 0
tagged=$(ffprobe -v error -show_entries stream=color_space,color_transfer,color_primaries,pix_fmt -of csv=p=0 "$s/mixed.mp4")
check "a clip of HDR and SDR says BT.709, '$tagged'" [ "$tagged" = "yuv420p,bt709,bt709,bt709" ]
run render "$s/pq.mp4@0s" "$s/sdr.png" -n 3 -o "$s/mixed-%d.png"
cat >"$s/white.py" <<'PY'
# White at 203 cd/m2 through the Mobius curve (0.3, peak 1000) and BT.1886's gamma, against the first sample of a picture.
import subprocess, sys
j, p = 0.3, 1000 / 203
a, b = -j * j * (p - 1) / (j * j - 2 * j + p), (j * j - 2 * j * p + p) / (p - 1)
want = 255 * ((b * b + 2 * b * j + j * j) / (b - a) * (1 + a) / (1 + b)) ** (1 / 2.4)
got = subprocess.run(["ffmpeg", "-v", "error", "-i", sys.argv[1], "-pix_fmt", "rgb24", "-f", "rawvideo", "-"], capture_output=True).stdout
print(list(got[:3]), "wanted %.1f within 3" % want)
sys.exit(any(abs(x - want) > 3 for x in got[:3]))
PY
check "its first frame is the SDR picture" python3 "$s/white.py" "$s/mixed-1.png"

# ---- fields ----
run info "$s/fields.mpg"
check "interlaced video is named" said '^interlaced: '
run info "$s/square.mp4"
check "progressive video is not" eval '! grep -q interlaced "$s/out"'
for how in auto off; do
    run render "$s/fields.mpg@0.2s" "$s/fields.mpg@0.8s" -n 2 -o "$s/$how-%d.png" --deinterlace $how
    expect 0
    check "render says it once" times 1 interlaced
    run encode "$s/fields.mpg" -o "$s/$how" --deinterlace $how
    expect 0
    check "encode says it once" times 1 interlaced
    run eval "$s/fields.mpg" --gap 4 --deinterlace $how
    expect 0
    check "eval says it once" times 1 interlaced
done
check "the pictures differ" eval '! cmp -s "$s/auto-1.png" "$s/off-1.png"'
check "the latents differ" eval '! cmp -s "$s/auto/fields.h5" "$s/off/fields.h5"'
run encode "$s/fields.mpg" -o "$s/counted" --json
check "JSON counts interlaced frames" python3 -c 'import json, sys; assert json.load(open(sys.argv[1]))["videos"][0]["interlaced"] == 25' "$s/out"
run encode "$s/fields.mpg" -o "$s/x" --deinterlace maybe
expect 2 'deinterlace'
run render "$s/square.mp4@0s" "$s/square.mp4@0.5s" -n 2 -o "$s/p.mkv"
check "nothing is said of progressive video" times 0 interlaced

# ---- GIF ----
run render "$s/square.mp4@0s" "$s/square.mp4@0.5s" -n 5 --fps 60 -o "$s/fast.gif"
refused 1 'hundredths'
expect 1 'apng'
absent "$s/fast.gif"
run render "$s/square.mp4@0s" "$s/square.mp4@0.5s" -n 5 --fps 50 -o "$s/fast.gif"
expect 0
run render "$s/square.mp4@0s" "$s/square.mp4@0.5s" -n 5 --fps 60 -o "$s/fast.apng"
expect 0

# ---- formats ----
check "an animated WebP is made" python3 tests/oriented.py "$s/moving.webp" animated-webp
for command in "info" "encode -o $s/w" "render $s/sdr.png -n 3 -o $s/w.mp4"; do
    run $command "$s/moving.webp"
    if [ "$status" = 0 ] || ! warned 'animated WebP'; then
        # a later FFmpeg can
        [ "$status" = 0 ] || expect 1 'animated WebP'
    fi
done
mkdir "$s/folder"
for kind in "avif -c:v libaom-av1 -still-picture 1" "jp2" "jxl"; do
    name=$s/folder/$(set -- $kind && echo "$1").${kind%% *}
    if ffmpeg -nostdin -v error -f lavfi -i testsrc2=s=64x48 -frames:v 1 $(set -- $kind && shift && echo "$@") "$name" 2>/dev/null; then
        run info "$name"
        check "$(basename "$name") is a picture" said '^kind: picture$'
    else
        rm -f "$name"
        skip_part "this ffmpeg cannot write $(basename "$name")"
    fi
done
echo "not a picture" >"$s/folder/phone.heic"
count=$(find "$s/folder" -name '*.avif' -o -name '*.jp2' -o -name '*.jxl' | wc -l)
run encode "$s/folder" -o "$s/taken"
expect 1 'phone.heic'
check "the others of the folder are taken" said "^$count encoded, 0 unchanged, 1 failed"

# ---- streams are read once ----
make "$s/a.png" -f lavfi -i testsrc2=s=128x96 -frames:v 1
make "$s/601.mkv" -f lavfi -i testsrc2=s=128x96:r=25:d=0.2 -vf scale=out_color_matrix=bt601 -colorspace smpte170m -c:v ffv1 -pix_fmt yuv420p
run render "$s/a.png" "$s/sdr.png" -n 3 --overwrite -o "$s/file-%d.png"
run render <(cat "$s/a.png") "$s/sdr.png" -n 3 --overwrite -o "$s/pipe-%d.png"
expect 0
for i in 1 2 3; do check "frame $i of a stream is that of the file" cmp "$s/file-$i.png" "$s/pipe-$i.png"; done
words="render /dev/stdin"
"$INBETWEEN" render "$s/sdr.png" /dev/stdin -n 3 --overwrite -o "$s/stdin-%d.png" <"$s/a.png" >"$s/out" 2>"$s/err"
status=$?
expect 0
cat "$s/a.png" | "$INBETWEEN" render "$s/sdr.png" /dev/stdin -n 3 --overwrite -o "$s/stdin-%d.png" >"$s/out" 2>"$s/err"
status=$?
expect 0
run render "$s/sdr.png" "$s/a.png" -n 3 --overwrite -o "$s/file-%d.png"
check "/dev/stdin is that of the file" cmp "$s/file-3.png" "$s/stdin-3.png"
# of unlike matrices: the second is converted, and still read once
run render "$s/601.mkv" "$s/a.png" -n 3 --overwrite -o "$s/file-%d.png"
expect 0
run render <(cat "$s/601.mkv") <(cat "$s/a.png") -n 3 --overwrite -o "$s/pipe-%d.png"
expect 0
for i in 1 2 3; do check "frame $i of unlike streams" cmp "$s/file-$i.png" "$s/pipe-$i.png"; done
run render <(cat "$s/601.mkv")@0.1s "$s/a.png" -n 3 -o "$s/late-%d.png"
expect 0
run render "$s/none.png" "$s/a.png" -n 3 -o "$s/none.mp4"
refused 1 'none.png: there is no such file'
run encode "$s/601.mkv" -o "$s/whole"
for try in 1 2; do
    run encode <(cat "$s/601.mkv") -o "$s/piped"
    expect 0
    check "a stream is encoded, try $try" said '^1 encoded, 0 unchanged'
done
check "with the file's latents and no SHA-256" python3 -c '
import glob, h5py, sys
a, b = h5py.File(sys.argv[1]), h5py.File(glob.glob(sys.argv[2] + "/*.h5")[0])
assert (a["latents"][:] == b["latents"][:]).all() and len(a["latents"]) == 5
assert len(a.attrs["source_sha256"]) == 64 and not b.attrs["source_sha256"].strip(b"\0")' "$s/whole/601.h5" "$s/piped"
run info <(cat "$s/a.png")
check "info reads a stream" said '^kind: picture$'
run eval <(cat "$s/601.mkv") --gap 4
expect 0
run eval <(cat "$s/601.mkv") --gap 4 --size native
refused 1 'is a stream'

# ---- which latent files are kept ----
cat >"$s/older.py" <<'PY'
# As a program wrote it that knew no picture versions.
import h5py, sys
with h5py.File(sys.argv[1], "r+", libver="latest") as f:
    del f.attrs["picture_version"], f.attrs["deinterlace"]
PY
for name in square.mp4 dvd.mpg fields.mpg pq.mp4; do
    file=$s/kept/${name%.*}.h5
    run encode "$s/$name" -o "$s/kept"
    check "$name is encoded" said '^1 encoded'
    run encode "$s/$name" -o "$s/kept"
    check "$name is unchanged" said '^0 encoded, 1 unchanged'
    check "$name becomes an older one" python3 "$s/older.py" "$file"
    cp "$file" "$s/before.h5"
    run info "$file" --check
    expect 0
    run encode "$s/$name" -o "$s/kept"
    if [ $name = square.mp4 ]; then
        check "$name was right and is left alone" said '^0 encoded, 1 unchanged'
        check "bit by bit" cmp "$s/before.h5" "$file"
    else
        check "$name was wrong and is encoded anew" said '^1 encoded, 0 unchanged'
    fi
done
run encode "$s/square.mp4" -o "$s/kept" --deinterlace off
check "the option changes nothing of progressive video" said '^0 encoded, 1 unchanged'
run encode "$s/fields.mpg" -o "$s/kept" --deinterlace off
check "of interlaced video it does" said '^1 encoded, 0 unchanged'
report
