#!/usr/bin/env bash
# Text from strangers on the command line: escape sequences, names that are not UTF-8, JSON as Python writes it, byte order marks; and --quiet.
set -u
. tests/cli.bash
s=$scratch
command -v python3 >/dev/null || skip "python3 is not installed"
: "${IB_CLIP_WEIGHTS:?names the tool, as ctest sets it}"

# clean: what was printed on stdout and stderr is UTF-8 without anything that a terminal obeys, but for line feeds
cat >"$s/clean.py" <<'END'
import sys
for name in sys.argv[1:]:
    text = open(name, "rb").read().decode("utf-8")
    for c in text:
        n = ord(c)
        bad = n < 32 and c != "\n" or 127 <= n < 160 or n in (0x61c, 0x200e, 0x200f, 0x2028, 0x2029, 0xfeff) or 0x202a <= n <= 0x202e or 0x2066 <= n <= 0x2069
        assert not bad, f"{name}: U+{n:04X} in {text!r}"
END
clean() { check "'${words@Q}' prints plain text" python3 "$s/clean.py" "$s/out" "$s/err"; }
# said TEXT: literally, on stdout or stderr
said() { check "'${words@Q}' says $1" grep -qF -e "$1" "$s/out" "$s/err"; }
# json PYTHON: of what was printed as JSON, called d; names that were bytes are n(b"...")
json() {
    check "'${words@Q}' prints JSON with $1" python3 -c '
import json, sys
d = json.load(open(sys.argv[1], encoding="utf-8"))
assert eval(sys.argv[2]), d' "$s/out" "$1"
}

check "scenes are made" "$IB_SCENES" "$s/v" --count 2 --frames 20 --size 96x64
run encode "$s/v" -o "$s/l" --size 48x32
expect 0
run train "$s/l" -o "$s/run" --preset toaster --steps 2 --threads 2
expect 0

# ---- what files say of themselves ----

python3 - "$s" <<'END'
import json, struct, sys
s = sys.argv[1]
def write(name, header, data):
    h = json.dumps(header, ensure_ascii=False).encode()
    open(f"{s}/{name}.safetensors", "wb").write(struct.pack("<Q", len(h)) + h + data)
esc, rlo, csi = "\x1b", "\u202e", "\u009b"
write("hostile", {"__metadata__": {f"key{esc}[2J": f"line1\nline2{esc}[31mred{rlo}\t\r", f"csi{csi}": "caf\u00e9 \u65e5\u672c"},
                  f"t{esc}[2J\n{rlo}": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, struct.pack("<f", 1))
write("fp8", {"a": {"dtype": "F8_E4M3", "shape": [3], "data_offsets": [0, 3]},
              "b": {"dtype": "F8_E5M2", "shape": [2], "data_offsets": [3, 5]}}, bytes([0x38, 0xfe, 0x7f, 0x3c, 0x7c]))
write("f64", {"a": {"dtype": "F64", "shape": [2], "data_offsets": [0, 16]}}, struct.pack("<2d", -2.5, 1e300))
write("ids", {"a": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}}, struct.pack("<q", 7))
write(f"unknown{esc}[2J", {f"x{esc}[2J": {"dtype": f"F4{esc}", "shape": [], "data_offsets": [0, 0]}}, b"")
END
run info --tensors "$s/hostile.safetensors"
expect 0
clean
said 'key\x1b[2J: line1\nline2\x1b[31mred\u{202e}\t\r'
said 'csi\u{009b}: café 日本'
said 't\x1b[2J\n\u{202e}: F32 [1]'
run info --tensors --json "$s/hostile.safetensors"
expect 0
clean
json 'd[0]["metadata"]["key\x1b[2J"] == "line1\nline2\x1b[31mred\u202e\t\r" and d[0]["tensor list"]["t\x1b[2J\n\u202e"] == "F32 [1]"'
run info "$s/"unknown*.safetensors
refused 1 'unknown dtype'
clean
said 'unknown\x1b[2J.safetensors'

# ---- 8-bit floats, and numbers that were not looked at ----

run info --check --json "$s/fp8.safetensors"
expect 0
json 'd[0]["least value"] == -448 and d[0]["largest value"] == 1 and d[0]["values that are not finite"] == 2'
run info --check --json "$s/f64.safetensors"
json 'd[0]["least value"] == -2.5 and d[0]["largest value"] == 1e300'
run info --check "$s/ids.safetensors"
expect 0
said 'least value: -'

# ---- names ----

esc=$'e\e[31m\nx' latin=$'latin\xe9' bidi=$'b\xe2\x80\xaeidi'
mkdir "$s/n"
cp "$s/v/scene-01.mp4" "$s/n/$esc.mp4"
cp "$s/v/scene-02.mp4" "$s/n/$latin.mp4"
cp "$s/v/scene-01.mp4" "$s/n/$bidi.mp4"
echo junk >"$s/n/$latin-$esc.mp4"
run encode "$s/n" -o "$s/$latin-l" --size 48x32
expect 1
clean
said 'e\x1b[31m\nx.mp4: 20 frames'
said 'latin\xe9.mp4: 20 frames'
said 'b\u{202e}idi.mp4'
said "latin\\xe9-e\\x1b[31m\\nx.mp4"
said '3 encoded, 0 unchanged, 1 failed'
run encode "$s/n" -o "$s/$latin-l" --size 48x32 --json
expect 1
clean
json 'all("input" in v for v in d["videos"]) and d["videos"][-1]["input"].endswith("/latin\\xe9.mp4") and d["videos"][-1]["output"].endswith("/latin\\xe9-l/latin\\xe9.h5")'
json 'd["videos"][1]["input"].endswith("/e\x1b[31m\nx.mp4") and "latin\\xe9" in next(v["error"] for v in d["videos"] if v["state"] == "failed")'
for file in "$s/n/$esc.mp4" "$s/n/$latin.mp4" "$s/$latin-l/$latin.h5" "$s/$latin-l/$bidi.h5"; do
    run info "$file"
    expect 0
    clean
    run info --json "$file"
    expect 0
    clean
    json 'd[0]["file"].endswith(("\nx.mp4", "latin\\xe9.mp4", "latin\\xe9.h5", "b\u202eidi.h5"))'
done
run info "$s/$latin-l/$latin.h5"
said 'source: latin\xe9.mp4'

mv "$s/run/adapter.safetensors" "$s/run/$latin.safetensors"
cp "$s/run/$latin.safetensors" "$s/run/$esc.safetensors"
adapters=(--adapter "$s/run/$latin.safetensors" --adapter "$s/run/$esc.safetensors")
run eval "$s/$latin-l" "${adapters[@]}" --gap 4 -o "$s/r.html" -o "$s/r.csv" -o "$s/r.json" -o "$s/r.txt"
expect 0
clean
said 'e\x1b[31m\nx.mp4'
said 'latin\xe9.mp4'
said '/latin\xe9.safetensors'
check "the reports are plain text" python3 "$s/clean.py" "$s/r.txt" "$s/r.csv" "$s/r.html" "$s/r.json"
check "CSV has the names" python3 -c '
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1], newline="")))
assert {r["clip"] for r in rows} == {"e\\x1b[31m\\nx.mp4", "latin\\xe9.mp4", "b\\u{202e}idi.mp4", "(mean)"}, rows[:9]
assert {"latin\\xe9", "e\\x1b[31m\\nx"} <= {r["method"] for r in rows}' "$s/r.csv"
check "the page has them" grep -qF 'e\x1b[31m\nx.mp4' "$s/r.html"
run eval "$s/$latin-l" "${adapters[@]}" --gap 4 --json
expect 0
clean
json '{c["name"] for c in d["gaps"][0]["clips"]} == {"e\x1b[31m\nx.mp4", "latin\\xe9.mp4", "b\u202eidi.mp4"}'
json '{"latin\\xe9", "e\x1b[31m\nx"} <= set(d["gaps"][0]["mean"]) and any(m.get("file", "").endswith("/run/latin\\xe9.safetensors") for m in d["protocol"]["methods"])'
check "the report is what was printed" cmp "$s/out" "$s/r.json"
check "progress on a terminal is plain, too" python3 - "$INBETWEEN" "$s/$latin-l" <<'END'
import os, pty, re, sys
seen = b""
def read(fd):
    global seen
    part = os.read(fd, 65536)
    seen += part
    return part
assert pty.spawn([sys.argv[1], "eval", sys.argv[2], "--gap", "4"], read) == 0
text = seen.decode("utf-8")
assert "\r\x1b[K[" in text and "latin\\xe9.mp4" in text, text
for c in re.sub(r"\r\x1b\[K", "", text).replace("\r\n", ""):
    assert ord(c) >= 32 and ord(c) not in range(127, 160) and ord(c) != 0x202e, (hex(ord(c)), text)
END
printf 'junk' >"$s/$latin-l/$esc-junk.h5"
run eval "$s/$latin-l" --gap 4
expect 1
clean
rm "$s/$latin-l/$esc-junk.h5"

for name in "$latin" "$esc" "$bidi"; do
    run render "$s/n/$latin.mp4@0s" "$s/n/$esc.mp4@0.3s" -n 3 -o "$s/$name.mp4"
    expect 0
    clean
    run render "$s/n/$latin.mp4@0s" "$s/n/$esc.mp4@0.3s" -n 3 -o "$s/$name.mp4" --adapter "$s/run/$latin.safetensors" --json
    expect 0
    clean
    json 'd["clip"].endswith(("/latin\\xe9.mp4", "/e\x1b[31m\nx.mp4", "/b\u202eidi.mp4")) and d["adapter"].endswith("/run/latin\\xe9.safetensors")'
    run render "$s/nowhere-$name.png" "$s/n/$latin.mp4" -n 3 -o "$s/o.mp4"
    expect 1
    clean
done
run merge "$s/run/$latin.safetensors" "$s/run/$esc.safetensors" -o "$s/m$latin.safetensors"
expect 0
clean
said '/run/latin\xe9.safetensors'
run merge "$s/run/$latin.safetensors" "$s/run/$esc.safetensors" -o "$s/m$latin.safetensors" --json
expect 0
clean
json 'd["output"].endswith("/mlatin\\xe9.safetensors") and d["parts"][0]["file"].endswith("/run/latin\\xe9.safetensors")'
run info --json "$s/m$latin.safetensors"
expect 0
json '"latin\\xe9.safetensors" in d[0]["metadata"]["modelspec.merged_from"] and any(p["name"] == "latin\\xe9.safetensors" for p in json.loads(d[0]["metadata"]["inbetween.parents"]))'
run train "$s/l" -o "$s/$latin$esc" --preset toaster --steps 1 --threads 2 --init "$s/run/$latin.safetensors"
expect 0
clean
run train "$s/l" -o "$s/$latin$esc-2" --preset toaster --steps 1 --threads 2 --init "$s/run/$esc.safetensors" --json
expect 0
clean
json 'd["run"].endswith("/latin\\xe9e\x1b[31m\nx-2")'
mkdir "$s/pool$latin"
echo junk >"$s/pool$latin/$esc.safetensors"
mkfifo "$s/pool$latin/fifo.safetensors"
run pool "$s/pool$latin"
expect 0 'left out: .*fifo.safetensors: cannot be read: not a regular file'
clean
run pool "$s/pool$latin" --json
expect 0
clean
json 'd["pool"].endswith("/poollatin\\xe9") and len(d["not_members"]) == 2'

# words that are wrong
run "$esc"
expect 2
clean
run encode "--$esc"
expect 2
clean
run train "$s/l" -o "$s/o" --gap "$esc"
expect 2
clean
run merge "$s/run/$latin.safetensors" -o "$s/o" --weights "$latin$bidi"
expect 2
clean
run encode "$s/v" -o "$s/o" --space "$bidi$latin$esc"
expect 1
clean

# names that leave no room for an ending
long=$(printf 'x%.0s' {1..249})
mkdir "$s/long"
cp "$s/v/scene-01.mp4" "$s/long/$long.mp4"
cp "$s/v/scene-01.mp4" "$s/long/$long.mkv"
run encode "$s/long" -o "$s/long-l" --size 48x32
expect 1 "$long.mp4.h5: cannot be written: File name too long" "$long.mkv.h5: cannot be written: File name too long"

# ---- the space of a CLIP model, saved as today's libraries do ----

mkdir "$s/clip" "$s/bom"
check "weights are made" "$IB_CLIP_WEIGHTS" "$s/clip/model.safetensors" tiny hf f32
python3 - "$s" <<'END'
import json, shutil, sys
s = sys.argv[1]
plain = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174]
letter = {b: chr(b) for b in plain}
for b in range(256):
    letter.setdefault(b, chr(256 + sum(k not in plain for k in range(b))))
vocab = {letter[b] + end: b + 256 * i for i, end in enumerate(("", "</w>")) for b in range(256)}
merges = [("r", "e"), ("re", "d</w>")]
for i, m in enumerate(merges):
    vocab["".join(m)] = 512 + i
vocab["<|startoftext|>"], vocab["<|endoftext|>"] = 538, 539
files = {
    "vocab.json": json.dumps(vocab, ensure_ascii=False),
    "merges.txt": "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges),
    "tokenizer_config.json": json.dumps({"model_max_length": int(1e30), "pad_token": "<|endoftext|>"}),
    "config.json": json.dumps({"model_type": "clip", "logit_scale_init_value": float("inf"),
                               "vision_config": {"hidden_size": 64, "hidden_act": "quick_gelu", "dropout": float("nan"), "x": -float("inf")}}),
    "preprocessor_config.json": json.dumps({"image_mean": [0.5, 0.5, 0.5], "rescale_factor": float("nan")}),
}
assert "1000000000000000019884624838656" in files["tokenizer_config.json"] and "-Infinity" in files["config.json"]
for name, text in files.items():
    open(f"{s}/clip/{name}", "w", encoding="utf-8").write(text)
    open(f"{s}/bom/{name}", "w", encoding="utf-8-sig").write(text)
shutil.copy(f"{s}/clip/model.safetensors", f"{s}/bom/model.safetensors")
open(f"{s}/p.txt", "wb").write(b"a red ball\na blue cube\r\n\n")
open(f"{s}/p-bom.txt", "wb").write(b"\xef\xbb\xbfa red ball\na blue cube\r\n\n")
open(f"{s}/p-only-bom.txt", "wb").write(b"\xef\xbb\xbf\n")
END
run encode "$s/v" -o "$s/cl" --space "clip:$s/clip"
expect 0 "quick_gelu (by config.json)"
run info "$s/clip/model.safetensors"
expect 0
said 'kind: CLIP model'
run modality-gap "$s/cl" -s "clip:$s/clip" -p "$s/p.txt" -o "$s/gap.safetensors" --json
expect 0
json 'd["prompts"] == 2'
run modality-gap "$s/cl" -s "clip:$s/clip" -p "$s/p-bom.txt" -o "$s/gap-bom.safetensors"
expect 0
check "a byte order mark is no part of the first prompt" cmp "$s/gap.safetensors" "$s/gap-bom.safetensors"
run modality-gap "$s/cl" -s "clip:$s/bom" -p "$s/p.txt" -o "$s/gap-bom.safetensors"
expect 0
check "nor of a tokenizer's or config's file" cmp "$s/gap.safetensors" "$s/gap-bom.safetensors"
run modality-gap "$s/cl" -s "clip:$s/clip" -p "$s/p-only-bom.txt" -o "$s/o.safetensors"
refused 1 'there is no prompt in it'
sed -i 's/"hidden_size": 64/"hidden_size": NaN/' "$s/clip/config.json"
run encode "$s/v" -o "$s/cl" --space "clip:$s/clip"
refused 1 "config.json: 'hidden_size' is not a whole number"
sed -i 's/"hidden_size": NaN/"hidden_size": 64/' "$s/clip/config.json"
cp "$s/p.txt" "$s/$latin$esc.txt"
run modality-gap "$s/cl" -s "clip:$s/clip" -p "$s/$latin$esc.txt" -o "$s/g$latin.safetensors"
expect 0
clean
run modality-gap "$s/cl" -s "clip:$s/clip" -p "$s/$latin$esc.txt" -o "$s/g$latin.safetensors" --json
expect 0
clean
json 'd["modality_gap"].endswith("/glatin\\xe9.safetensors")'
run render "text:a $bidi" "$s/n/$latin.mp4@0s" -n 3 --space "clip:$s/clip" -o "$s/w$latin.safetensors" --json
expect 0
clean
json 'd["embeddings"].endswith("/wlatin\\xe9.safetensors")'
run render "text:a $bidi" "$s/n/$latin.mp4@0s" -n 3 --space "clip:$s/clip" -o "$s/w$latin.safetensors"
expect 0
clean
run info "$s/w$latin.safetensors"
clean
said 'latin\\xe9.mp4@0s'
run render "text:a $latin" "$s/n/$latin.mp4@0s" -n 3 --space "clip:$s/clip" -o "$s/w.safetensors"
refused 1 'is not UTF-8'
clean

# ---- --quiet ----

# quiet COMMAND...: with --quiet nothing is printed, and with --json too the JSON alone
quiet() {
    run "$@" --quiet
    expect 0
    check "'${words@Q}' prints nothing" [ ! -s "$s/out" -a ! -s "$s/err" ]
    run "$@" --quiet --json
    expect 0
    check "'${words@Q}' prints nothing but JSON" [ ! -s "$s/err" ]
    json 'd is not None'
}
rm -rf "$s/run"
quiet encode "$s/v" -o "$s/ql" --size 48x32
run train "$s/l" -o "$s/run" --preset toaster --steps 2 --threads 2 --quiet
expect 0
check "train prints nothing" [ ! -s "$s/out" -a ! -s "$s/err" ]
run train "$s/l" -o "$s/run2" --preset toaster --steps 2 --threads 2 --quiet --json
expect 0
json 'd["steps"] == 2'
quiet render "$s/v/scene-01.mp4@0s" "$s/v/scene-01.mp4@0.3s" -n 3 -o "$s/q.mp4"
quiet render text:a text:b -n 3 --space "clip:$s/clip" -o "$s/q.safetensors"
quiet eval "$s/ql" --gap 4 -o "$s/q.html" -o "$s/q.txt"
check "reports are written all the same" grep -q 'mean over 2 clips' "$s/q.txt"
check "the page, too" test -s "$s/q.html"
quiet merge "$s/run/adapter.safetensors" "$s/run2/adapter.safetensors" -o "$s/qm.safetensors"
quiet merge "$s/run/adapter.safetensors" "$s/run2/adapter.safetensors" --dry-run
mkdir "$s/qp"
run train "$s/l" -o "$s/run3" --preset toaster --steps 1 --threads 2 --pool "$s/qp" --pool-name anna --quiet
expect 0
check "a worker of a pool prints nothing" [ ! -s "$s/out" -a ! -s "$s/err" ]
quiet pool "$s/qp"
quiet modality-gap "$s/cl" -s "clip:$s/clip" -p "$s/p.txt" -o "$s/qg.safetensors"
quiet info --check "$s/v" "$s/ql" "$s/run/adapter.safetensors" "$s/clip/model.safetensors"
run info "$s/nowhere" "$s/fp8.safetensors" --quiet
expect 1 'nowhere'
check "errors are printed, and nothing else" [ ! -s "$s/out" -a "$(wc -l <"$s/err")" = 1 ]
for command in encode train train-judge distil render retime eval merge pool modality-gap info; do
    run "$command" --help
    check "the help of $command says so" grep -q 'print only errors, warnings and the JSON that' "$s/out"
done
report
