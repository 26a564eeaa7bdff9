#!/usr/bin/env bash
# The space of a CLIP model, from videos to embeddings: encode, train, eval, info, render, preview. The model is a small one with
# random weights.
set -u
. tests/cli.bash
model=tests/fixtures/clip-tiny
s=$scratch space="clip:$model"

check "scenes are made" "$IB_SCENES" "$s/v" --count 3 --frames 30 --size 128x96
for i in 1 2 3; do
    mv "$s/v/scene-0$i.mp4" "$s/$(echo pan circle cuts | cut -d' ' -f$i).mp4"
done

# encode, train, eval, info
run encode "$s/pan.mp4" "$s/circle.mp4" "$s/cuts.mp4" -o "$s/latents" --space "$space"
expect 0 'activation quick_gelu'
run info --json "$s/latents"
check "latent files are of one token" python3 -c '
import json, sys
for f in json.load(open(sys.argv[1])):
    assert f["layout"] == "single" and f["width"] == 24 and f["space"].startswith("clip:"), f' "$s/out"
run train "$s/latents" -o "$s/run" --steps 20 --preset toaster --gap 2..6
expect 0
adapter=$s/run/adapter.safetensors
run info "$adapter"
check "info names the space" grep -q 'inbetween.space: clip:' "$s/out"
run eval "$s/latents/circle.h5" -o "$s/report.json" --adapter "$adapter" --gap 4 --space "$space"
expect 0
check "eval writes its report" python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$s/report.json"

# prompts to embeddings, read by somebody else
run render 'text:a red ball' 'text:a blue cube' "$s/pan.mp4@0.5s" -o "$s/way.safetensors" --space "$space" --frames 9 --fps 8 --adapter "$adapter"
expect 0
cat >"$s/read.py" <<'PY'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
n = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:8 + n])
meta = header.pop("__metadata__")
def tensor(name):
    t = header[name]
    a, b = t["data_offsets"]
    kind = {"F32": "f", "F64": "d"}[t["dtype"]]
    raw = data[8 + n + a:8 + n + b]
    values = struct.unpack("<%d%s" % (len(raw) // struct.calcsize(kind), kind), raw)
    size = 1
    for d in t["shape"]:
        size *= d
    assert size == len(values), name
    return t["shape"], values
rows, width = int(sys.argv[2]), 24
shape, z = tensor("image_embeds")
assert shape == [rows, width] and header["image_embeds"]["dtype"] == "F32", shape
assert tensor("negative_image_embeds")[0] == [1, width]
assert tensor("t")[0] == [rows] and abs(tensor("pts")[1][8] - 1.0) < 1e-12
keys = json.loads(meta["inbetween.keyframes"])
assert [k["row"] for k in keys] == [0, 8, 16], keys
assert [k["kind"] for k in keys] == ["prompt", "prompt", "picture"], keys
assert keys[0]["prompt"] == "a red ball" and keys[2]["file"] == "pan.mp4@0.5s", keys
norms = [sum(v * v for v in z[i * width:(i + 1) * width]) ** 0.5 for i in range(rows)]
assert min(norms) > 0.01 and max(norms) < 1e4, norms
PY
check "an independent reader reads the embeddings" python3 "$s/read.py" "$s/way.safetensors" 17
run info --json "$s/way.safetensors"
check "info says what it is" grep -q '"kind": "embeddings"' "$s/out"
run render 'text:a red ball' 'text:a blue cube' -o "$s/json.safetensors" --space "$space" --json
check "--json is JSON" python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); assert d["frames"] == 25 and d["width"] == 24 and d["prompts"] == 2, d' "$s/out"

# the gap between prompts and pictures
printf 'a ball\n\na cube on a table\r\nthe sea\n' >"$s/prompts.txt"
run modality-gap "$s/latents" --space "$space" --prompts "$s/prompts.txt" -o "$s/gap.safetensors"
expect 0
check "it counts what it measured" grep -q '3 videos (.* frames) and 3 prompts' "$s/out"
run info "$s/gap.safetensors"
check "info says what it is" grep -q 'kind: modality gap' "$s/out"
run render 'text:a red ball' "$s/pan.mp4" -o "$s/near.safetensors" --space "$space" --modality-gap "$s/gap.safetensors"
expect 0
run modality-gap "$s/latents" --space "$space" --prompts "$s/latents/pan.h5" -o "$s/no.safetensors"
refused 1 'one prompt on each line'
: >"$s/empty.txt"
run modality-gap "$s/latents" --space "$space" --prompts "$s/empty.txt" -o "$s/no.safetensors"
refused 1 'no prompt'
run modality-gap "$s/latents" --space "$space" -o "$s/no.safetensors"
refused 2 '\-\-prompts'
absent "$s/no.safetensors"

# seen through real frames
run render 'text:a red ball' "$s/circle.mp4@1" -o "$s/way.mp4" --space "$space" --frames 6 --preview-from "$s/circle.mp4" "$s/pan.mp4"
expect 0
check "the preview has a frame for each embedding" [ "$(ffprobe -v error -count_frames -select_streams v -show_entries stream=nb_read_frames -of csv=p=0 "$s/way.mp4" | tr -d ', \n')" = 6 ]

# hidden tokens
run encode "$s/pan.mp4" -o "$s/hidden" --space "$space" --tokens penultimate --every 4
expect 0
run train "$s/hidden" -o "$s/hidden-run" --steps 4 --preset toaster --gap 2..4 --batch 4 --valid-part 0
expect 0
run render "$s/pan.mp4@0" "$s/pan.mp4@1" -o "$s/hidden.safetensors" --space "$space" --tokens penultimate --frames 3 --adapter "$s/hidden-run/adapter.safetensors"
expect 0
check "hidden states have three dimensions" grep -q 'hidden_states \[3, [0-9]*, [0-9]*\]' "$s/out"

# an adapter that lies in the model's folder leads by itself, if it is of this very space
model=${space#clip:}
[ -d "$model" ] || model=$(dirname "$model")
cp -r "$model" "$s/ready"
ready() { run render "$s/pan.mp4@0" "$s/pan.mp4@1" -o "$s/$1.safetensors" --space "clip:$s/ready" --frames 3 "${@:2}"; }
ready named --adapter "$adapter"
expect 0
ready slerp --adapter none
expect 0
cp "$adapter" "$s/ready/adapter-pooled.safetensors"
ready itself
expect 0 'adapter-pooled.safetensors leads'
check "as if it were named" cmp "$s/itself.safetensors" "$s/named.safetensors"
ready none --adapter none
expect 0
check "none is slerp" cmp "$s/none.safetensors" "$s/slerp.safetensors"
check "which is something else" eval '! cmp -s "$s/none.safetensors" "$s/named.safetensors"'
ready squashed --fit squash
expect 0
check "in another space it does not lead" eval '! grep -q leads "$s/out"'
ready no --tokens penultimate --adapter default
refused 2 'none comes with this space'
ready no --adapter prior
refused 2 'for pictures'

# what cannot be, in one sentence each
run render 'text:a' 'text:b' -o "$s/no.mp4" --space "$space"
refused 1 '\-\-preview-from' '\.safetensors'
run render 'a red ball' "$s/pan.mp4" -o "$s/no.safetensors" --space "$space"
refused 1 "'text:a red ball'"
run render 'a red ball' "$s/pan.mp4" -o "$s/no.mp4"
refused 1 "'text:a red ball'"
run render 'text:a red ball' "$s/pan.mp4" -o "$s/no.mp4"
refused 1 '\-\-space clip:PATH'
run render "$s/pan.mp4" "$s/circle.mp4" -o "$s/no.safetensors"
refused 1 '\-\-space clip:PATH'
run render "$s/pan.mp4" "$s/circle.mp4" -o "$s/no.safetensors" --space patch
refused 1 'clip.mp4'
run render "$s/pan.mp4" "$s/circle.mp4" -o "$s/no.mp4" --adapter "$adapter"
refused 1
run render 'text:a' "$s/pan.mp4" -o "$s/no.safetensors" --space "$space" --tokens penultimate
refused 1 'pooled'
run render 'text:a' 'text:b' -o "$s/no.safetensors" --space "$space" --adapter "$s/hidden-run/adapter.safetensors"
refused 1 'penultimate'
run render 'text:a' 'text:b' -o "$s/no.safetensors" --space "$space" --fit squash --adapter "$adapter"
refused 1 'squash'
run render 'text:a' 'text:b' -o "$s/no.safetensors" --space "$space" --modality-gap "$adapter"
refused 1 'modality gap'
run render 'text:a' 'text:b' -o "$s/no.safetensors" --space "$space" --compare --adapter "$adapter"
refused 2 '\-\-compare'
run render 'text:a' 'text:b' -o "$s/no.mp4" --space "$space" --preview-from "$s/prompts.txt"
refused 1 'prompts.txt'
absent "$s/no.safetensors" "$s/no.mp4"
# guides that nobody follows, and that have no place in clips
run encode "$s/pan.mp4" "$s/circle.mp4" -o "$s/unseen" --space "$space" --guide none
expect 0
run train "$s/unseen" -o "$s/unseen-run" --steps 5 --preset toaster --gap 2..6
expect 0
adapter=$s/unseen-run/adapter.safetensors
run render "$s/pan.mp4@0.5s" "$s/pan.mp4@0.8s" -o "$s/unguided.safetensors" --space "$space" --frames 4 --adapter "$adapter" --guide prior
expect 0 'no guides: the adapter was trained without'
run render "$s/pan.mp4@0.5s" "$s/pan.mp4@0.8s" -o "$s/unguided.safetensors" --space "$space" --frames 4 --guide prior
expect 0 'no guides: slerp follows none'
run render "$s/pan.mp4@0.5s" "$s/pan.mp4@0.8s" -o "$s/unguided.safetensors" --space "$space" --frames 4 --guide none
expect 0
check "not a word" [ -z "$(grep guide "$s/err")" ]
run render "$s/pan.mp4@0.5s" "$s/pan.mp4@0.8s" -o "$s/no.mp4" --guide prior
refused 2 '--guide is for spaces without pictures'
absent "$s/no.mp4"

report
