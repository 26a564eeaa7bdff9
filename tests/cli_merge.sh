#!/usr/bin/env bash
# inbetween merge: what it makes serves eval and render, and what it refuses.
set -u
. tests/cli.bash
s=$scratch
check "scenes are made" "$IB_SCENES" "$s/v" --count 4 --frames 24 --size 128x96
run encode "$s/v" -o "$s/l" --size 64x48
expect 0
t="--preset toaster --threads 2 --quiet"
run train "$s/l/scene-01.h5" -o "$s/start" --steps 2 --valid-part 0 $t
expect 0
run train "$s/l/scene-02.h5" -o "$s/a" --steps 4 --valid "$s/l/scene-04.h5" --init "$s/start/adapter.safetensors" \
    --state-steps 1 --keep-states 3 $t
expect 0
run train "$s/l/scene-03.h5" -o "$s/b" --steps 4 --valid "$s/l/scene-04.h5" --init "$s/start/adapter.safetensors" $t
expect 0
a=$s/a/adapter.safetensors b=$s/b/adapter.safetensors base=$s/start/adapter.safetensors
run info "$a"
expect 0
check "an adapter names what it began with" grep -q "inbetween.parents: .*\"role\":\"init\".*$(sha256sum "$base" | cut -c1-64)" "$s/out"

# --- every method makes an adapter that can be used, in any order the same

try() { # NAME ARGUMENT...: into NAME.safetensors
    run merge "${@:2}" -o "$s/$1.safetensors"
    expect 0
    run info "$s/$1.safetensors"
    expect 0
    run eval "$s/l/scene-04.h5" --adapter "$s/$1.safetensors" --windows-per-clip 1
    expect 0
}
try linear "$a" "$b"
try linear-turned "$b" "$a"
check "order makes no difference" cmp "$s/linear.safetensors" "$s/linear-turned.safetensors"
try slerp "$a" "$b" --method slerp --t 0.3
try difference "$a" "$b" "$base" --method add-difference --alpha 0.5
try task "$a" "$b" --method task-arithmetic --base "$base" --lambda 0.5
try ties "$a" "$b" --method ties --base "$base" --density 0.4
try dare "$a" "$b" --method dare --base "$base" --seed 3
try soup "$a" "$b" --method soup --valid "$s/l/scene-04.h5"
try ema "$s/a" --method ema --decay 0.5
run render "$s/v/scene-01.mp4@0.1" "$s/v/scene-01.mp4@0.5" -o "$s/clip.mp4" --adapter "$s/ties.safetensors" --frames 3
expect 0
check "the clip is there" [ -s "$s/clip.mp4" ]
run info "$s/linear.safetensors"
check "it names its parents" grep -q "inbetween.parents: .*$(sha256sum "$a" | cut -c1-64)" "$s/out"
check "and the method" grep -q 'merge.method: linear' "$s/out"
run train "$s/l/scene-02.h5" -o "$s/on" --steps 1 --valid-part 0 --init "$s/linear.safetensors" --threads 2
expect 0 'linear.safetensors'

run merge "$a" "$b" "$a" --base "$base" --dry-run
expect 0
check "a dry run shows pairs" grep -q '1, 2 .*%' "$s/out"
run merge "$a" "$b" -n --json
expect 0
check "--json is JSON" python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
assert d["output"] is None and len(d["parts"]) == 2 and d["parts"][0]["weight"] == 0.5, d
p, = d["pairs"]
assert p["distance"] > 0 and -1 <= p["cosine"] <= 1 and 0 <= p["same_sign"] <= 1, p' "$s/out"
run merge "$s/a" --method ema -o "$s/j.safetensors" --json
expect 0
check "--json tells the states" python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
assert [p["step"] for p in d["parts"]] == [2, 3, 4], d
assert len(d["parts"][0]["sha256"]) == 64 and abs(sum(p["weight"] for p in d["parts"]) - 1) < 1e-12, d' "$s/out"
for method in linear slerp add-difference task-arithmetic ties dare soup ema; do
    run merge --help
    check "--help explains $method" grep -q "^  $method  *[a-z]" "$s/out"
done

# --- said, not refused

run merge "$a" "$b" --weights 1,3 -o "$s/o1.safetensors"
expect 0 'weights sum to 4 and are divided by that'
run merge "$a" "$b" --weights 0,1 -o "$s/o1.safetensors"
expect 0 'has the weight 0: it does not count'
run merge "$a" "$a" -o "$s/o1.safetensors"
expect 0 'named twice, and counts twice'
mkdir "$s/o"
o=$s/o/x.safetensors

# --- wrong usage

run merge "$a" "$b"
refused 2 '-o ADAPTER'
run merge "$a" -o "$o" --method average
refused 2 'linear, slerp, .*soup or ema'
run merge "$a" "$b" -o "$o" --density 0.5
refused 2 'density is not for linear'
run merge "$a" "$b" -o "$o" --method slerp --t 1.5
refused 2 'from 0 to 1'
run merge "$a" "$b" "$base" -o "$o" --method add-difference --alpha 11
refused 2 'from -10 to 10'
run merge "$a" "$b" -o "$o" --method slerp --weights 1,2
refused 2 'weights is not for slerp'
run merge "$a" "$b" -o "$o" --weights 1
refused 2 '1 numbers for 2 adapters'
run merge "$a" "$b" -o "$o" --weights 1,nan
refused 2 '1,nan'
run merge "$a" "$b" -o "$o" --weights 1,2x
refused 2 '1,2x'

# --- refused by name

run merge "$a" "$b" -o "$o" --weights 1,-1
refused 1 'sum to 0'
run merge "$a" "$b" -o "$o" --weights 0,0
refused 1 'all weights are 0'
run merge "$a" -o "$o" --method slerp
refused 1 'takes 2 adapters, got 1'
run merge "$a" -o "$o" --method ties
refused 1 'needs a base'
run merge "$a" "$b" -o "$o" --base "$base"
refused 1 'has no base'
run merge "$a" "$b" -o "$o" --method soup
refused 1 'needs latent files'
run merge "$a" "$b" -o "$o" --method soup --valid "$s/v/scene-01.mp4"
refused 1 "$s/v/scene-01.mp4"
run merge "$a" "$a" -o "$o" --method soup --valid "$s/l/scene-04.h5"
refused 1 'the same bytes'
run merge "$a" "$b" -o "$o" --method ema
refused 1 'not of one run'
run merge "$s/a" "$s/a/state.h5" -o "$o" --method ema
refused 1 'both of step 4'
run merge "$s/v" -o "$o" --method ema
refused 1 'holds no states'
run merge "$a" "$s/gone" -o "$o"
refused 1 "$s/gone"
run merge "$a" "$s/a" -o "$o"
refused 1 "$s/a"
run merge "$a" "$s/l/scene-01.h5" -o "$o"
refused 1 "$s/l/scene-01.h5"
run merge "$a" "$s/v/scene-01.mp4" -o "$o"
refused 1 "$s/v/scene-01.mp4"
head -c 5000 "$a" >"$s/short.safetensors"
run merge "$a" "$s/short.safetensors" -o "$o"
refused 1 "$s/short.safetensors"
LC_ALL=C sed 's/patch:/hatch:/g; s/"slerp:range1"/"slerp"       /' "$a" >"$s/other.safetensors"
run merge "$a" "$s/other.safetensors" -o "$o"
refused 1 "$s/other.safetensors" 'hatch' 'patch'
run train "$s/l/scene-01.h5" -o "$s/wide" --steps 1 --valid-part 0 --preset default --threads 2
expect 0
run merge "$a" "$s/wide/adapter.safetensors" -o "$o"
refused 1 "$s/wide/adapter.safetensors" 'another architecture' 'inbetween.fine is 64, not 48'
run merge "$a" "$b" -o "$o" --method task-arithmetic --base "$s/wide/adapter.safetensors"
refused 1 'another architecture'
python3 - "$a" "$s/nan.safetensors" "$s/huge.safetensors" "$s/foreign.safetensors" <<'PY'
import json, struct, sys
raw = open(sys.argv[1], "rb").read()
size = int.from_bytes(raw[:8], "little")
head, data = json.loads(raw[8:8 + size]), raw[8 + size:]
def write(path, head, data):
    text = json.dumps(head).encode()
    open(path, "wb").write(len(text).to_bytes(8, "little") + text + data)
write(sys.argv[2], head, data[:4000] + struct.pack("<f", float("nan")) + data[4004:])
shapes = {k: dict(v) for k, v in head.items()}
name = next(k for k in shapes if k != "__metadata__")
shapes[name]["shape"] = [1 << 40, 1 << 40]
write(sys.argv[3], shapes, data)
shapes = dict(head)
shapes["stowaway"] = {"dtype": "F32", "shape": [1], "data_offsets": [len(data), len(data) + 4]}
write(sys.argv[4], shapes, data + bytes(4))
PY
run merge "$a" "$s/nan.safetensors" -o "$o"
refused 1 "$s/nan.safetensors" 'not finite'
run merge "$a" "$s/huge.safetensors" -o "$o"
refused 1 "$s/huge.safetensors" 'shape'
run merge "$a" "$s/foreign.safetensors" -o "$o"
refused 1 "$s/foreign.safetensors" 'stowaway'
run eval "$s/l" --adapter "$s/foreign.safetensors"
refused 1 "$s/foreign.safetensors" 'stowaway'

# --- places

before=$(sha256sum "$b")
run merge "$a" "$b" -o "$b"
refused 1 'choose another name'
ln -s "$b" "$s/link.safetensors"
run merge "$a" "$b" -o "$s/link.safetensors"
refused 1 'choose another name'
check "the input is as it was" [ "$before" = "$(sha256sum "$b")" ]
run merge "$a" "$b" -o "$s/no/such/x.safetensors"
refused 1 "$s/no/such/x.safetensors"
run merge "$a" "$b" -o "$s/o"
refused 1 "$s/o"
untouched "$s/o"
words='(limited file size) merge' status=0
(
    trap '' XFSZ
    ulimit -f 64
    exec "$INBETWEEN" merge "$a" "$b" -o "$o" >"$s/out" 2>"$s/err" </dev/null
) || status=$?
refused 1 "$o"
untouched "$s/o"
if unshare -rm mount -t tmpfs -o size=16k tmpfs "$s/o" 2>/dev/null; then
    words='(full disk) merge' status=0
    unshare -rm bash -c 'mount -t tmpfs -o size=256k tmpfs "$1" && shift && "$@"; status=$?; [ -z "$(ls -A "$0")" ] || echo "inbetween: left something" >&2; exit $status' \
        "$s/o" "$s/o" "$INBETWEEN" merge "$a" "$b" -o "$o" >"$s/out" 2>"$s/err" </dev/null || status=$?
    refused 1 "$o"
else
    skip_part "no small file system can be mounted here"
fi
report
