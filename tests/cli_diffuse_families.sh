#!/usr/bin/env bash
# A clip by a model of each family, from its folder and from a single file under the original names, beside diffusers' picture. The models
# have the families' structure, little width and random weights that are made here (tests/fixtures/diffusion/random_weights.py).
set -u
. tests/cli.bash
s=$scratch f=tests/fixtures/diffusion clip=tests/fixtures/clip-tiny
differ() { python3 tests/png_differ.py "$@"; }

# tokenizer FOLDER [PAD]: a tokenizer.json alone, as transformers 5 saves it
tokenizer() {
    python3 - "$clip" "$@" <<'PY'
import json, os, sys
clip, out, *pad = sys.argv[1:]
os.makedirs(out)
lines = open(clip + "/merges.txt", encoding="utf-8").read().split("\n")
model = {"type": "BPE", "vocab": json.load(open(clip + "/vocab.json", encoding="utf-8")),
         "merges": [l.split(" ") for l in lines if l and not l.startswith("#version")], "end_of_word_suffix": "</w>"}
json.dump({"version": "1.0", "model": model}, open(out + "/tokenizer.json", "w", encoding="utf-8"))
json.dump({"pad_token": pad[0]} if pad else {}, open(out + "/tokenizer_config.json", "w"))
PY
}

for model in sd1 sd2 lcm sdxl; do
    python3 $f/random_weights.py $f/families/$model "$s/$model" || exit 1
    python3 $f/random_weights.py $f/families/$model "$s/$model.safetensors" || exit 1
done
tokenizer "$s/sd1/tokenizer"
tokenizer "$s/sd2/tokenizer" '!'
tokenizer "$s/lcm/tokenizer"
tokenizer "$s/sdxl/tokenizer"
tokenizer "$s/sdxl/tokenizer_2" '!'

both=(--seed 7 --size 64x64 --strength 1 --diffuse-every 1 --guide none --overwrite -n 3)
# agrees WHAT MODEL PICTURE OPTION...: the middle frame is diffusers', the others are the keyframes
agrees() {
    local what=$1 model=$2 picture=$f/families/$3
    shift 3
    run render $f/pipeline/a.png $f/pipeline/b.png -o "$s/out-%d.png" --renderer "$model" --space "clip:$clip" \
        --prompt "a red circle at the left" "${both[@]}" "$@"
    expect 0 '1 of 3 frames'
    check "$what: diffusers' picture" differ "$s/out-2.png" "$picture" 2
    check "$what: the first keyframe" differ "$s/out-1.png" $f/pipeline/a.png 0
    check "$what: the last keyframe" differ "$s/out-3.png" $f/pipeline/b.png 0
}
# travels WHAT MODEL PICTURE OPTION...: prompts lead from one to the other
travels() {
    local what=$1 model=$2 picture=$f/families/$3
    shift 3
    run render --direct 'text:a red circle at the left' 'text:a blue square' -o "$s/out-%d.png" --renderer "$model" --space "text:$model" \
        "${both[@]}" "$@"
    expect 0 '3 of 3 frames'
    check "$what: diffusers' picture" differ "$s/out-2.png" "$picture" 2
}

five=(--steps 5 --guidance 3)
for end in '' .safetensors; do
    kind=${end:-folder}
    agrees "Plus, $kind" "$s/sd1$end" sd1/ip-plus.rgb "${five[@]}" --ip-adapter "$s/sd1/ip-plus.safetensors"
    agrees "LCM-LoRA, $kind" "$s/sd1$end" sd1/lcm-lora.rgb --sampler lcm --lora "$s/sd1/lora.safetensors"
    agrees "LCM, $kind" "$s/lcm$end" lcm/lcm.rgb
    agrees "SDXL, $kind" "$s/sdxl$end" sdxl/ip-base.rgb "${five[@]}" --ip-adapter "$s/sdxl/ip-base.safetensors"
done
agrees "Stable Diffusion 2, folder" "$s/sd2" sd2/v.rgb "${five[@]}"
agrees "Stable Diffusion 2, file" "$s/sd2.safetensors" sd2/v.rgb "${five[@]}" --prediction v_prediction --sampler ddim
travels "SDXL, folder" "$s/sdxl" sdxl/travel.rgb "${five[@]}"
travels "SDXL, file" "$s/sdxl.safetensors" sdxl/travel.rgb "${five[@]}" --tokenizer $clip

# refusals
run render 'text:a' 'text:b' -o "$s/no.mp4" --renderer "$s/sdxl.safetensors" --size 64x64
refused 1 'sdxl.safetensors: has no tokenizer' '--tokenizer PATH'
run render $f/pipeline/a.png $f/pipeline/b.png -o "$s/no.mp4" --renderer "$s/sd1" --space "clip:$clip" --size 64x64 \
    --ip-adapter "$s/sdxl/ip-base.safetensors"
refused 1 'ip-base.safetensors: an IP-Adapter for a U-Net with a context of width 128'
run render 'text:a' 'text:b' -o "$s/no.mp4" --renderer "$s/sd1" --size 64x64 --lora "$s/sdxl/lora.safetensors"
refused 1 'lora.safetensors'
run render 'text:a' 'text:b' -o "$s/no.mp4" --renderer "$s/sd1" --size 64x64 --prediction noise
refused 1 'noise: no prediction of that name'
run render 'text:a' 'text:b' -o "$s/no.mp4" --renderer "$s/sd1" --size 64x64 --spacing wide
refused 1 'wide: no spacing of that name'
sed 's/conditioner.embedders.1.model.ln_final.bias/conditioner.embedders.1.model.ln_finals.bis/' "$s/sdxl.safetensors" >"$s/damaged.safetensors"
run render 'text:a' 'text:b' -o "$s/no.mp4" --renderer "$s/damaged.safetensors" --size 64x64 --tokenizer $clip
refused 1 'conditioner.embedders.1.model.ln_final.bias'
absent "$s/no.mp4"
report
