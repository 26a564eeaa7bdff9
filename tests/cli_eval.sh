#!/usr/bin/env bash
# inbetween eval: the table, the report's forms, film strips, what is refused.
set -u
. tests/cli.bash
s=$scratch
check "scenes are made" "$IB_SCENES" "$s/v" --count 3 --frames 26 --size 128x96
run encode "$s/v" -o "$s/l" --size 64x48
expect 0
run train "$s/l" -o "$s/run" --preset toaster --steps 2
expect 0
adapter=$s/run/adapter.safetensors

said() { grep -q -e "$1" "$s/out"; }
lines() { [ "$(wc -l <"$1")" = "$2" ]; }
python=
if command -v python3 >/dev/null; then
    python=python3
else
    skip_part "python3 is not installed: JSON and CSV are not parsed"
fi

# the table; -o writes the same, by its name, and is not needed
run eval "$s/l" --adapter "$adapter" --gap 8,4
expect 0
cp "$s/out" "$s/table"
check "a row per clip" said '^scene-02.mp4 '
check "a mean" said '^mean over 3 clips '
check "both gaps" said '^gap 4:'
check "the protocol" said 'Space patch:dct8+4:v1, frames of 64x48'
check "the table keeps to 140 columns" [ -z "$(grep -E '^.{141}' "$s/out")" ]
run eval "$s/l" --adapter "$adapter" --gap 8,4 -o "$s/report" --quiet
expect 0
check "the report is the table" cmp "$s/table" "$s/report"
check "--quiet is quiet" [ ! -s "$s/err" -a ! -s "$s/out" ]
run eval "$s/l" -a "$adapter" --gap 8,4 -o "$s/report.csv"
expect 0
check "a line per gap, clip, place and method, the means and a head" lines "$s/report.csv" $((1 + (8 + 4) * 4 * 9))
check "the head of the CSV" grep -q '^gap,clip,t,windows,frames,method,skill,cosine,' "$s/report.csv"

# JSON: on stdout and in the file the same, whatever the order, the threads and the place of the inputs
run eval "$s/l" -a "$adapter" --gap 8,4 -o "$s/report.json" --json --threads 1
expect 0
check "--json is what the report holds" cmp "$s/out" "$s/report.json"
# an OpenBLAS that is older than the processor takes its oldest kernels by itself
if [ -z "${OPENBLAS_CORETYPE:-}" ] && grep -qw avx2 /proc/cpuinfo; then
    check "OpenBLAS's kernels fit the processor" [ -z "$(grep '"blas"' "$s/report.json" | grep Prescott)" ]
fi
run eval "$s/l/scene-03.h5" "$s/l/scene-01.h5" "$s/l" -a "$adapter" --gap 8,4 --json --threads 3
expect 0
check "order and threads do not matter" cmp "$s/out" "$s/report.json"
run eval "$s/l" -a "$adapter" --gap 8 --trust 0.25 -o "$s/trust.json"
expect 0
check "the report says how far adapters were trusted" said 'trust in adapters 0.25'
run eval "$s/l" -a "$adapter" --gap 8 --trust 1.5
refused 2 '\-\-trust'
run eval "$s/v" -a "$adapter" --gap 8,4 --size 64x48 -o "$s/videos.json"
expect 0
if [ -n "$python" ]; then
    check "videos and their latents have the same figures" $python - "$s/report.json" "$s/videos.json" "$s/trust.json" <<'END'
import json, sys
a, b = (json.load(open(n)) for n in sys.argv[1:3])
assert [g["gap"] for g in a["gaps"]] == a["protocol"]["gaps"] == [8, 4], a["protocol"]
assert [m["name"] for m in a["protocol"]["methods"]] == [
    "hold-first", "nearest", "lerp", "slerp", "cubic", "adapter", "space floor", "shift 1 px", "crf 23"], a["protocol"]
d = json.load(open(sys.argv[3]))
assert (a["protocol"]["trust"], d["protocol"]["trust"]) == (0.6, 0.25)
assert d["gaps"][0]["mean"]["slerp"] == a["gaps"][0]["mean"]["slerp"] and d["gaps"][0]["mean"]["adapter"] != a["gaps"][0]["mean"]["adapter"]
for x, y in zip(a["gaps"], b["gaps"]):
    assert len(x["clips"]) == 3 and x["mean"] == y["mean"], (x["mean"], y["mean"])
    assert [c["methods"] for c in x["clips"]] == [c["methods"] for c in y["clips"]]
assert a["failed"] == []
END
    check "CSV is CSV" $python -c 'import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))
assert {r["clip"] for r in rows} == {"scene-01.mp4", "scene-02.mp4", "scene-03.mp4", "(mean)"}, rows
assert all(float(r["psnr_db"]) > 0 for r in rows)
assert {r["t"] for r in rows if r["gap"] == "4"} == {"", "0.25", "0.5", "0.75"}, rows' "$s/report.csv"
fi

# several reports of one run; strips that cannot be written when the work is done take no report with them
run eval "$s/l" --gap 4 -o "$s/several.json" -o "$s/several.csv" -o "$s/several.txt" -o "$s/several.html"
expect 0
check "each by its name" sh -c "head -c 1 '$s/several.json' | grep -q { && grep -q ^gap, '$s/several.csv' && cmp '$s/out' '$s/several.txt'"

check "a page" grep -q '<svg viewBox' "$s/several.html"
check "with film strips" grep -q 'data:image/jpeg;base64,' "$s/several.html"
if [ -n "$python" ]; then
    # without a browser: that charts and JSON agree is looked at all the same
    check "charts have the figures of the JSON" sh -c "CHROMIUM=none $python tools/check_page.py '$s/several.html' '$s/several.json'; [ \$? = 77 ]"
    sed 's/data-v="[^"]*"/data-v="0.123"/' "$s/several.html" >"$s/lies.html"
    check "and it is seen if they do not" sh -c "CHROMIUM=none $python tools/check_page.py '$s/lies.html' '$s/several.json'; [ \$? = 1 ]"
fi

# full size, minterpolate, fewer windows, strips
run eval "$s/v" -a "$adapter" --size native --windows-per-clip 2
expect 0
check "full size" said "frames of 128x96 (the videos' own)"
check "two windows of each clip" said '^scene-01.mp4 *2 '
run eval "$s/l" -a "$adapter" --minterpolate --windows-per-clip 1 --strips "$s/strips"
expect 0
check "minterpolate has a column" said ' minterpolate '
check "a verdict" said '^adapter against slerp: undecided'
check "three strips" [ "$(ls -A "$s/strips" | tr '\n' ' ')" = "best.png median.png worst.png " ]
check "strips are PNG" sh -c "head -c 4 '$s/strips/worst.png' | grep -q PNG"

# other programs: a cross-fade in a few lines
cat >"$s/fade.py" <<'END'
import sys
i, o = sys.stdin.buffer, sys.stdout.buffer
while words := i.readline().split():
    assert words[:2] == [b"inbetween", b"1"], words
    w, h, n = map(int, words[2:5])
    size = w * h + 2 * ((w + 1) // 2) * ((h + 1) // 2)
    a, b = i.read(size), i.read(size)
    for t in map(float, words[5:5 + n]):
        o.write(bytes(int(x + t * (y - x) + 0.5) for x, y in zip(a, b)))
    o.flush()
END
if [ -n "$python" ]; then
    run eval "$s/v/scene-01.mp4" -a "$adapter" --size native --gap 4 --windows-per-clip 1 --rival "fade=$python '$s/fade.py'" \
        -o "$s/rival.json" -o "$s/rival.csv" -o "$s/rival.html"
    expect 0
    check "a rival has a column" said '^clip .* lerp *fade *adapter '
    check "and is compared with" said '^adapter against fade: '
    check "a cross-fade is lerp" $python - "$s/rival.json" <<'END'
import json, sys
r = json.load(open(sys.argv[1]))
m = [x for x in r["protocol"]["methods"] if x["name"] == "fade"]
assert m[0]["kind"] == "program" and m[0]["command"].endswith("fade.py'"), m
fade, lerp = (r["gaps"][0]["mean"][n] for n in ("fade", "lerp"))
for figure, near in (("psnr_db", 0.02), ("ssim", 0.001), ("ms_ssim", 0.001), ("sharpness", 0.005)):
    assert abs(fade[figure] - lerp[figure]) < near, (figure, fade[figure], lerp[figure])
END
    check "rows in the CSV" grep -q '^4,scene-01.mp4,0.5,1,1,fade,' "$s/rival.csv"
    check "charts of it" sh -c "CHROMIUM=none $python tools/check_page.py '$s/rival.html' '$s/rival.json'; [ \$? = 77 ]"
fi
run eval "$s/v/scene-01.mp4" --size native --rival 'gone=/no/such/program' -o "$s/none.json"
refused 1 'gone: the program was not found by the shell'
run eval "$s/v" --size native --rival 'quits=exit 3' -o "$s/none.json"
refused 1 'quits: the program ended with status 3'
run eval "$s/v" --rival 'chats=echo hello; cat' -o "$s/none.json"
refused 1 'chats: the program wrote'
run eval "$s/v" --rival 'few=head -c 1000' -o "$s/none.json"
refused 1 'few: the program ended with status 0 after'
run eval "$s/v" --rival 'lerp=cat' -o "$s/none.json"
refused 1 "'lerp': its name is another method's"
absent "$s/none.json"
for rival in x x= =cat ''; do
    run eval "$s/v" --rival "$rival"
    refused 2 '--rival wants'
done
# Ctrl-C ends a rival that would take for ever
interrupted INT '[ -s "$s/pid" ]' eval "$s/v" --size native --rival "slow=echo \$\$ >'$s/pid'; sleep 600 & wait" -o "$s/none.json"
expect 130
check "it is gone" sh -c "! kill -0 $(cat "$s/pid")"
absent "$s/none.json"

# a bad one among good ones is named, the rest is evaluated, the status says so
head -c 6000 "$s/l/scene-01.h5" >"$s/torn.h5"
run eval "$s/l" "$s/torn.h5" "$s/missing.mp4" -o "$s/some.txt"
expect 1 "warning: .*torn.h5" "warning: .*missing.mp4"
check "the rest is in the report" grep -q '^mean over 3 clips' "$s/some.txt"
check "the report names the bad one" grep -q '^not evaluated: .*torn.h5' "$s/some.txt"
run eval "$s/torn.h5" "$s/missing.mp4" -o "$s/none.txt"
refused 1 "none of 2 inputs" "torn.h5\|missing.mp4"
# a clip too short for one gap counts at the others
run eval "$s/l" --gap 4,25
expect 0
run eval "$s/l" --gap 4,26
expect 0
check "no clip at the long gap" said 'no shot is longer than the gap'
run eval "$s/l" --gap 26 -o "$s/none.txt"
refused 1 "longer than a gap of 26 frames"
run eval "$s/l" --size native -o "$s/none.txt"
refused 1 "latent files"
absent "$s/none.txt"

# places that cannot be written are found out before the work
run eval "$s/l" -o "$s/l"
refused 1 "$s/l"
run eval "$s/l" --strips "$s/torn.h5"
refused 1 "torn.h5"
run eval "$s/l" -o "$s/good.txt" -o "$s/nowhere/bad.json"
refused 1 "nowhere"
absent "$s/good.txt"
run eval "$s/l" --strips "$s/new" --adapter "$s/missing"
refused 1 "$s/missing"
untouched "$s/new"
check "no empty directory of strips" [ ! -e "$s/new" ]

# wrong usage
for gap in 1 0 x 4, ,4 4,,8 1001 -4 4.5 '4 8' ''; do
    run eval "$s/l" --gap "$gap"
    refused 2 '--gap wants'
done
run eval "$s/l" --gap 4,8,4
refused 2 '4 twice'
for size in own 64 64x 63x48 8x8 -64x48 ' 64x48' 64x48x2 99999x64; do
    run eval "$s/l" --size "$size"
    refused 2 '--size wants'
done
run eval "$s/v" --size native --strips "$s/o"
refused 2 '--strips'
run eval "$s/l" --windows-per-clip 0
refused 2 '--windows-per-clip'

# interrupted: no report, nothing temporary
"$IB_SCENES" "$s/long" --count 1 --frames 600 --size 128x96 >/dev/null 2>&1
mkdir "$s/tmp"
TMPDIR=$s/tmp interrupted INT 'filled "$s/tmp" && sleep 0.3' eval "$s/long" -o "$s/stopped.txt" -a "$adapter" --size 512x384 --gap 3,5,7,8
if [ "$status" = 0 ]; then
    skip_part "the evaluation was done before the signal came"
else
    expect 130 'interrupted'
    untouched "$s/tmp"
    absent "$s/stopped.txt"
fi
report
