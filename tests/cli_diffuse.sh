#!/usr/bin/env bash
# A clip by a diffusion model: the independent implementation's picture, exact keyframes, equal bytes, going on, refusals. The model is a
# small one with random weights (tests/fixtures/diffusion/make_pipeline.py).
set -u
. tests/cli.bash
s=$scratch f=tests/fixtures/diffusion/pipeline clip=tests/fixtures/clip-tiny
model=$s/model ip=$f/ip-adapter.safetensors
mkdir -p "$model/text_encoder" "$model/tokenizer"
cp -r $f/model_index.json $f/unet $f/vae $f/scheduler "$model"
cp $clip/model.safetensors $clip/config.json "$model/text_encoder"
cp $clip/vocab.json $clip/merges.txt "$model/tokenizer"
way=($f/a.png $f/b.png)
lead=(--renderer "$model" --space "clip:$clip" --ip-adapter "$ip" --guide none --size 64x64)

differ() { python3 tests/png_differ.py "$@"; }
told() { # TEXT...: all of them are in what the last command printed
    local text
    for text; do
        check "it says '$text'" grep -qF -e "$text" "$s/out"
    done
}

line=("${lead[@]}" --prompt "a red circle at the left" --condition both --steps 5 --sampler ddim --guidance 3 --seed 7 --strength 1
    --diffuse-every 1)
run render "${way[@]}" -o "$s/out-%d.png" -n 3 "${line[@]}"
expect 0 '1 of 3 frames of 64 x 64 are diffused, with 5 steps of ddim, guidance 3, seed 7' 'this will take about'
check "the frame between is diffusers' picture" differ "$s/out-2.png" $f/expected.rgb 2
check "the first frame is the first keyframe" differ "$s/out-1.png" $f/a.png 0
check "the last frame is the last keyframe" differ "$s/out-3.png" $f/b.png 0
check "a picture says how it was made" grep -aq 'a red circle at the left' "$s/out-2.png"
check "with the seed" grep -aq 'Steps: 5, Sampler: ddim, CFG scale: 3, Seed: 7, Size: 64x64' "$s/out-2.png"
check "and the checksum of the IP-Adapter" grep -aq "$(sha256sum <"$ip" | cut -d' ' -f1)" "$s/out-2.png"
run info "$s/out-2.png"
expect 0
told 'made with:' 'prompt: a red circle at the left' 'Sampler: ddim' 'CFG scale: 3' 'Seed: 7' 'Size: 64x64'
run render "${way[@]}" -o "$s/odd-%d.png" -n 3 "${lead[@]}" --prompt 'a ball, Size: 3, rouge é' --negative-prompt 'a line
Steps: 9' --steps 1
expect 0
run info "$s/odd-2.png"
expect 0
told 'prompt: a ball, Size: 3, rouge é' 'negative prompt: a line\nSteps: 9' 'Steps: 1' 'Version: inbetween'
check "nothing else is left" test "$(ls -A "$s" | grep -c 'resume\|tmp')" = 0

# from the pixel model's pictures, every second frame
short=("${lead[@]}" -n 9 --steps 4 --guidance 1 --diffuse-every 2 --strength 0.8)
run render "${way[@]}" -o "$s/p/" "${short[@]}" --threads 2
expect 0 '3 of 9 frames'
run render "${way[@]}" -o "$s/q/" "${short[@]}" --threads 2
expect 0
check "equal runs give equal bytes" diff -r "$s/p" "$s/q"
run render "${way[@]}" -o "$s/r/" "${short[@]}" --threads 1
expect 0
check "another number of threads gives the same bytes" diff -r "$s/p" "$s/r"
check "keyframes are exact here too" differ "$s/p/0001.png" $f/a.png 0

# stopped, and gone on with
slow=("${lead[@]}" -n 18 --steps 16 --guidance 3 --diffuse-every 1 --strength 1)
interrupted INT "ls $s/.stopped.mkv.resume/*4.png >/dev/null 2>&1" render "${way[@]}" -o "$s/stopped.mkv" "${slow[@]}"
refused 130 'diffused frames; they are kept in .*\.stopped\.mkv\.resume, and the same command goes on from there'
run render "${way[@]}" -o "$s/stopped.mkv" "${slow[@]}"
expect 0 'some are there from a run that was stopped'
run render "${way[@]}" -o "$s/whole.mkv" "${slow[@]}"
expect 0
frames() { ffmpeg -v error -i "$1" -f rawvideo - | sha256sum; }
if command -v ffmpeg >/dev/null; then
    check "the clip is the same" test "$(frames "$s/stopped.mkv")" = "$(frames "$s/whole.mkv")"
fi
check "a film says how it was made" grep -aq 'Steps: 16, Sampler: ddim' "$s/whole.mkv"
run info "$s/whole.mkv"
expect 0
told 'Steps: 16' 'Sampler: ddim'

# a LoRA of one matrix; at weight 0 it is as if there were none
python3 - "$s/style.safetensors" <<'PY'
import json, random, struct, sys
random.seed(5)
stem = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_"
head, data = {}, b""
for name, shape in (("down", [2, 16]), ("up", [16, 2])):
    values = struct.pack("<32f", *(random.gauss(0, 0.5) for _ in range(32)))
    head[stem + name + ".weight"] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
    data += values
text = json.dumps(head).encode()
open(sys.argv[1], "wb").write(struct.pack("<Q", len(text)) + text + data)
PY
for weight in 0 2; do
    run render "${way[@]}" -o "$s/l$weight-%d.png" -n 3 "${line[@]}" --lora "$s/style.safetensors:$weight"
    expect 0
done
check "a LoRA at weight 0 changes nothing" differ "$s/l0-2.png" "$s/out-2.png" 0
check "at 2 it does" test "$(differ "$s/l2-2.png" "$s/out-2.png" 0 | sed 's/.*difference \([0-9]*\),.*/\1/')" -gt 0
run render "${way[@]}" -o "$s/no.mp4" "${lead[@]}" --lora "$s/none.safetensors:0.5"
refused 1 'none.safetensors: '
run render "${way[@]}" -o "$s/no.mp4" "${lead[@]}" --lora "$ip"
refused 1 'ip-adapter.safetensors'

# what lies ready in the model's folder is used: the IP-Adapter, its tower (no warning then), and for drafts the LCM-LoRA
cp -r "$model" "$s/ready"
cp "$ip" "$s/ready/ip-adapter.safetensors"
cp -r $clip "$s/ready/clip"
run render "${way[@]}" -o "$s/ready-%d.png" -n 3 --renderer "$s/ready" --space "clip:$s/ready/clip" --guide none --size 64x64 "${line[@]:10}"
expect 0
check "the tower beside the IP-Adapter is known" eval '! grep -q "does not say which image tower" "$s/out"'
check "the IP-Adapter in the folder is the one that was named" differ "$s/ready-2.png" "$s/out-2.png" 0
cp "$s/style.safetensors" "$s/ready/lcm-lora.safetensors"
draft=(-n 3 --renderer "$s/ready" --space "text:$s/ready" --draft)
run render 'text:a red circle' 'text:a blue square' -o "$s/draft-%d.png" "${draft[@]}"
expect 0 'with 4 steps of lcm'
run render 'text:a red circle' 'text:a blue square' -o "$s/named-%d.png" "${draft[@]}" --sampler lcm --lora "$s/style.safetensors"
expect 0
check "a draft takes the LCM-LoRA that lies there" differ "$s/draft-1.png" "$s/named-1.png" 0
side=$(python3 -c "import json; print(8 * json.load(open('$model/unet/config.json'))['sample_size'])")
check "a clip of prompts alone has the model's own size" grep -q "frames of $side x $side" "$s/out"

# prompts lead from one to the next, without any image tower
run render 'text:a red circle' 'text:a blue square' -o "$s/t-%d.png" -n 3 --renderer "$model" --space "text:$model" --size 64x64 --steps 2 \
    --diffuse-every 1
expect 0 '3 of 3 frames'
run render 'text:a red circle' 'text:a red circle' -o "$s/u-%d.png" -n 3 --renderer "$model" --size 64x64 --steps 2 --diffuse-every 1
expect 0
check "equal prompts give equal pictures" differ "$s/u-1.png" "$s/u-3.png" 0
check "the first of another pair is the same" differ "$s/u-1.png" "$s/t-1.png" 0

# by default prompts are drawn first and are pictures from then on
asked=('text:a red circle' 'text:a blue square')
run render "${asked[@]}" -o "$s/w-%d.png" -n 5 "${lead[@]}" --condition image --steps 2 --diffuse-every 2
expect 0 '3 of 5 frames'
run render "$s/w-1.png" "$s/w-5.png" -o "$s/x-%d.png" -n 5 "${lead[@]}" --condition image --steps 2 --diffuse-every 2
expect 0 '1 of 5 frames'
for i in 1 2 3 4 5; do
    check "frame $i is as between the drawn pictures" differ "$s/w-$i.png" "$s/x-$i.png" 0
done
run render "${asked[@]}" -o "$s/y-%d.png" -n 5 --renderer "$model" --size 64x64 --steps 2 --direct
expect 0 '3 of 5 frames'
check "a prompt by itself gives the same keyframe" differ "$s/y-1.png" "$s/t-1.png" 0
check "but other frames between" eval '! differ "$s/y-3.png" "$s/w-3.png" 0'
interrupted INT "ls $s/.drawn.mkv.resume/*2.png >/dev/null 2>&1" render "${asked[@]}" -o "$s/drawn.mkv" "${slow[@]}"
refused 130 'the same command goes on from there'
run render "${asked[@]}" -o "$s/drawn.mkv" "${slow[@]}"
expect 0 'some are there from a run that was stopped'
run render "${asked[@]}" -o "$s/at-once.mkv" "${slow[@]}"
expect 0
if command -v ffmpeg >/dev/null; then
    check "and goes on to the same clip" test "$(frames "$s/drawn.mkv")" = "$(frames "$s/at-once.mkv")"
fi

# a text encoder as transformers 5 saves it alone: no stem before its tensors' names
python3 - "$model/text_encoder/model.safetensors" <<'PY'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
n = struct.unpack("<Q", data[:8])[0]
head, bare, body = json.loads(data[8:8 + n]), {}, b""
for name, t in sorted(head.items()):
    if name.startswith("text_model."):
        values = data[8 + n + t["data_offsets"][0]:8 + n + t["data_offsets"][1]]
        bare[name[len("text_model."):]] = {**t, "data_offsets": [len(body), len(body) + len(values)]}
        body += values
text = json.dumps(bare).encode()
assert len(bare) > 4
open(sys.argv[1], "wb").write(struct.pack("<Q", len(text)) + text + body)
PY
run render 'text:a red circle' 'text:a red circle' -o "$s/v-%d.png" -n 3 --renderer "$model" --size 64x64 --steps 2 --diffuse-every 1
expect 0
check "a text encoder without stem says the same" differ "$s/v-1.png" "$s/u-1.png" 0

# by its repository's name, where the hub's programs have left it
hub=$s/hub/models--someone--tiny.model_1 commit=0123456789abcdef0123456789abcdef01234567
mkdir -p "$hub/snapshots/$commit" "$hub/refs"
printf %s "$commit" >"$hub/refs/main"
cp -r "$model"/* "$hub/snapshots/$commit"
cp "$ip" "$hub/snapshots/$commit/ip.safetensors"
export HF_HUB_CACHE=$s/hub
run render "${way[@]}" -o "$s/h-%d.png" -n 3 --space "clip:$clip" --guide none --size 64x64 --renderer someone/tiny.model_1 \
    --ip-adapter someone/tiny.model_1/ip.safetensors "${line[@]:10}"
expect 0
check "it is the same model" differ "$s/h-2.png" "$s/out-2.png" 0
run info someone/tiny.model_1
expect 0
told 'image diffusion model'
run info someone/another
refused 1 'someone/another'
run render "${way[@]}" -o "$s/no.mp4" "${lead[@]}" --renderer someone/../tiny
refused 1 'someone/../tiny'
unset HF_HUB_CACHE

# by the name of a folder that comes with the program
mkdir -p "$s/share/little"
cp -r "$model"/* "$s/share/little"
cp -r $clip "$s/share/little/clip"
export INBETWEEN_SHARE=$s/share
run render "${way[@]}" -o "$s/i-%d.png" -n 3 --space clip:little --guide none --size 64x64 --renderer little --ip-adapter "$ip" \
    "${line[@]:10}"
expect 0
check "it is the same model too" differ "$s/i-2.png" "$s/out-2.png" 0
run info little
expect 0
told 'image diffusion model'
mkdir "$s/elsewhere"
(cd "$s/elsewhere" && mkdir little && "$INBETWEEN" info little >"$s/out" 2>&1)
check "a path of that name wins" eval '! grep -q "diffusion model" "$s/out"'
unset INBETWEEN_SHARE

# drafts: a size of their own, unless one is named
run render "${way[@]}" -o "$s/d-%d.png" -n 3 "${lead[@]}" --draft --guidance 1
expect 0 'of 64 x 64 are diffused, with 8 steps'
if command -v ffmpeg >/dev/null; then
    ffmpeg -v error -f lavfi -i testsrc=size=600x338 -frames:v 1 "$s/large.png"
    run render "$s/large.png" "$s/large.png" -o "$s/e-%d.png" -n 3 --renderer "$model" --space "clip:$clip" --ip-adapter "$ip" --guide none \
        --draft --steps 1 --guidance 1
    expect 0 'of 256 x 144 are diffused, with 1 steps'
fi

# refusals: one sentence each, and nothing is written
run render "${way[@]}" -o "$s/no.mp4" "${lead[@]}" --steps 0
refused 2 'steps'
run render "${way[@]}" -o "$s/no.mp4" --steps 3
refused 2 '--steps needs --renderer'
run render "${way[@]}" -o "$s/no.mp4" "${lead[@]}" --size 60x64
refused 1 'multiples of 8, not 60 x 64; --size 56x64 is near'
run render "${way[@]}" -o "$s/no.mp4" "${lead[@]}" --sampler heun
refused 1 "'heun' is none of ddim"
run render "${way[@]}" -o "$s/no.mp4" "${lead[@]}" --vae tiny
refused 1 'taesd: there is no such folder'
run render "${way[@]}" -o "$s/no.mp4" "${lead[@]}" --condition none
refused 2 'prompt, image or both'
run render "${way[@]}" -o "$s/no.mp4" --renderer "$model" --size 64x64
refused 1 'nothing leads its frames'
run render "${way[@]}" -o "$s/no.mp4" --renderer "$model" --space "clip:$clip" --condition image --size 64x64
refused 1 'takes no image embeddings by itself'
run render "${way[@]}" -o "$s/no.mp4" "${lead[@]}" --tokens penultimate
refused 1 'ip-adapter.safetensors: takes image embeddings of 24 values'
run render 'text:a' 'text:b' -o "$s/no.mp4" --renderer "$model" --space "text:$model" --adapter $f/ip-adapter.safetensors --size 64x64
refused 1 'no video gives the tokens of a prompt'
# an image tower beside the IP-Adapter: its own, and another one
mkdir -p "$s/ip/image_encoder"
cp "$ip" "$s/ip/ip.safetensors"
cp $clip/model.safetensors $clip/config.json $clip/preprocessor_config.json "$s/ip/image_encoder"
short=("${lead[@]}" -n 3 --steps 1 --guidance 1 --strength 1 --ip-adapter "$s/ip/ip.safetensors")
run render "${way[@]}" -o "$s/f-%d.png" "${lead[@]}" -n 3 --steps 1 --guidance 1 --strength 1
expect 0 'warning: .*ip-adapter.safetensors does not say which image tower it was trained with'
run render "${way[@]}" -o "$s/g-%d.png" "${short[@]}"
expect 0
check "with its tower beside it there is no warning" test -z "$(grep warning "$s/err")"
python3 - "$s/ip/image_encoder/model.safetensors" "$s/other.safetensors" <<'PY'
import json, random, struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
n = 8 + struct.unpack("<Q", data[:8])[0]
t = json.loads(data[8:n])["visual_projection.weight"]
size = {"F16": 2, "F32": 4}[t["dtype"]]
for at in range(n + t["data_offsets"][0] + size - 1, n + t["data_offsets"][1], size):
    data[at] ^= 128
open(sys.argv[1], "wb").write(data)
# a LoRA of a model whose layers are wider
stem, head, body = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_", {}, b""
for name, shape in (("down", [2, 24]), ("up", [24, 2])):
    head[stem + name + ".weight"] = {"dtype": "F32", "shape": shape, "data_offsets": [len(body), len(body) + 192]}
    body += bytes(192)
text = json.dumps(head).encode()
open(sys.argv[2], "wb").write(struct.pack("<Q", len(text)) + text + body)
PY
run render "${way[@]}" -o "$s/no.mp4" "${short[@]}"
refused 1 'ip.safetensors: was trained with the image tower beside it'
run render "${way[@]}" -o "$s/no.mp4" "${lead[@]}" --lora "$s/other.safetensors"
refused 1 'other.safetensors: .*attn1'
rm -r "$model/tokenizer"
run render 'text:a' 'text:b' -o "$s/no.mp4" --renderer "$model" --size 64x64
refused 1 'tokenizer'
mkdir "$model/tokenizer"
cp $clip/vocab.json $clip/merges.txt "$model/tokenizer"
cp "$model/unet/diffusion_pytorch_model.safetensors" "$s/whole.safetensors"
sed 's/mid_block.resnets.0.conv1.weight/mid_block.resnets.0.conv9.weight/' "$s/whole.safetensors" >"$model/unet/diffusion_pytorch_model.safetensors"
run render "${way[@]}" -o "$s/no.mp4" "${lead[@]}"
refused 1 'mid_block.resnets.0.conv1.weight'
absent "$s/no.mp4"
report
