#!/usr/bin/env bash
# The tiny world that comes with the program: whole, found by its name, and giving what transformers and diffusers make of these very weights
# (tests/fixtures/tinyworld, by tools/tinyworld/compare.py --expected). The adapters and examples beside it do their work.
set -u
. tests/cli.bash
root=$PWD s=$scratch world=$root/models/tinyworld f=$root/tests/fixtures/tinyworld
export INBETWEEN_SHARE=$root/models # the real adapters, not those of the transcripts
differ() { python3 "$root/tests/png_differ.py" "$@"; }
check "the files are what the list says" eval '(cd "$world" && sha256sum --quiet -c SHA256SUMS)'
check "the list has them all" test "$(cd "$world" && find . -type f ! -name SHA256SUMS | wc -l)" = "$(wc -l <"$world/SHA256SUMS")"
check "at most 16,000,000 bytes" test "$(find "$world" -type f -printf '%s\n' | awk '{n += $1} END {print n}')" -le 16000000

run info tinyworld
expect 0
check "it is a whole model" grep -q 'missing: nothing' "$s/out"
mkdir "$s/tinyworld"
check "a path of that name wins" eval '! (cd "$s" && "$INBETWEEN" info tinyworld >/dev/null 2>&1)'
rmdir "$s/tinyworld"

# the independent implementations' pictures
text='text:a large red circle at the left on a white background' key=$f/key.png
plain=(-n 3 --renderer tinyworld --strength 1 --diffuse-every 1 --guide none --adapter none --seed 7)
drawn() { # NAME FRAME WORDS...: the picture that it names is the one that diffusers made
    run render "${@:3}" -o "$s/$1-%d.png" "${plain[@]}"
    expect 0
    check "$1: as diffusers draws it" differ "$s/$1-$2.png" "$f/$1.png" 2
}
drawn prompt 1 "$text" "$text" --space text:tinyworld --steps 6 --guidance 3
drawn lcm 1 "$text" "$text" --space text:tinyworld --steps 4 --guidance 1 --sampler lcm --lora "$world/lcm-lora.safetensors"
drawn pooled 2 "$key" "$key" --space clip:tinyworld --condition image --steps 6 --guidance 2
drawn hidden 2 "$key" "$key" --space clip:tinyworld --tokens penultimate --condition image --steps 6 --guidance 2
run render "$text" "$text" -o "$s/draft-%d.png" -n 2 --space text:tinyworld --renderer tinyworld --draft --seed 7
expect 0 '64 x 64' '4 steps of lcm'

# and the towers' numbers
run render "$key" "$text" -o "$s/way.safetensors" -n 2 --space clip:tinyworld --adapter none --guide none
expect 0
cat >"$s/same.py" <<'PY'
import json, struct, sys
def tensors(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    return {k: struct.unpack("<%df" % ((t["data_offsets"][1] - t["data_offsets"][0]) // 4), data[8 + n + t["data_offsets"][0]:8 + n + t["data_offsets"][1]])
            for k, t in json.loads(data[8:8 + n]).items() if k != "__metadata__" and t["dtype"] == "F32"}
ours, theirs = tensors(sys.argv[1])["image_embeds"], tensors(sys.argv[2])
for i, name in enumerate(("picture", "text")):
    n = len(theirs[name])
    worst = max(abs(a - b) for a, b in zip(ours[i * n:i * n + n], theirs[name])) / max(map(abs, theirs[name]))
    print(name, worst)
    if worst > 2e-3: sys.exit(1)
PY
check "embeddings are those of transformers" python3 "$s/same.py" "$s/way.safetensors" "$f/expected.safetensors"

# adapters that come with it, on videos that were left out
for tokens in pooled penultimate; do
    run encode examples/tinyworld/held/000[0-3].mp4 -o "$s/$tokens" --space clip:tinyworld --tokens $tokens --guide-gaps 8 -q
    expect 0
    run eval "$s/$tokens" -a "$world/clip/adapter-$tokens.safetensors" --gap 8 -o "$s/$tokens.json" -q
    expect 0
    check "the adapter for $tokens tokens is better than slerp" python3 -c "
import json, sys
j = json.load(open('$s/$tokens.json'))
name = [m['name'] for m in j['protocol']['methods'] if m['kind'] == 'adapter'][0]
skill = j['gaps'][0]['mean'][name]['skill']
print(skill)
sys.exit(not skill > 0.2)"
done
run render "$key" "$text" -o "$s/led.safetensors" -n 3 --space clip:tinyworld
expect 0 'adapter-pooled.safetensors leads'
report
