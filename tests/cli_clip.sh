#!/usr/bin/env bash
# The clip space on the command line: encoding, what is said about it, and what is refused.
set -u
. tests/cli.bash
s=$scratch
: "${IB_CLIP_WEIGHTS:?names the tool, as ctest sets it}"

# weights FILE ARGUMENT...: a model of the geometry "tiny"
weights() {
    local file=$1
    shift
    check "weights are made" "$IB_CLIP_WEIGHTS" "$file" tiny "$@"
}
said() { grep -q -e "$1" "$s/out"; }
space_of() { "$INBETWEEN" info "$1" | sed -n 's/^space: //p'; }

check "scenes are made" "$IB_SCENES" "$s/v" --count 2 --frames 21 --size 96x64
mkdir "$s/hf" "$s/open" "$s/pipeline" "$s/pipeline/image_encoder" "$s/pipeline/text_encoder" "$s/empty" "$s/two" "$s/config"
weights "$s/hf/model.safetensors" hf f16
weights "$s/open/open_clip_model.safetensors" openclip f16
weights "$s/pipeline/image_encoder/model.fp16.safetensors" hf f16 image
weights "$s/pipeline/text_encoder/model.safetensors" hf f16 text

# a folder, a file, the other naming and a pipeline are one space: the numbers are the same
run encode "$s/v" -o "$s/a" --space "clip:$s/hf"
expect 0 "quick_gelu (assumed" "cropped to the centre at 30 x 30" "21 frames"
run info "$s/a/scene-01.h5"
check "one embedding a frame" said "layout: single"
check "of the joint space's width" said "width: 40"
check "frames keep their size" said "frame size: 96 x 64"
run encode "$s/v" -o "$s/b" --space "clip:$s/open/open_clip_model.safetensors" --activation quick_gelu --every 2
expect 0 "quick_gelu (as asked for)"
run encode "$s/v" -o "$s/c" --space "clip:$s/pipeline/"
expect 0
a=$(space_of "$s/a/scene-01.h5")
check "both namings have one id" test "$a" = "$(space_of "$s/b/scene-01.h5")"
check "a pipeline has it too" test "$a" = "$(space_of "$s/c/scene-01.h5")"
check "the id holds fit, activation and tokens" test "${a#clip:*:}" = "crop30:quick_gelu:heads1:pooled"
run encode "$s/v" -o "$s/c" --space "clip:$s/open" --threads 1
expect 0 "gelu (assumed"
check "another activation is another space" said "2 encoded"
run encode "$s/v" -o "$s/a" --space "clip:$s/hf"
check "encoded already" said "0 encoded, 2 unchanged"
run encode "$s/v" -o "$s/a" --space "clip:$s/hf" --fit squash
expect 0 "squashed to 30 x 30"
check "another fit is another space" said "2 encoded"
run encode "$s/v/scene-01.mp4" -o "$s/d" --space "clip:$s/hf" --tokens penultimate
expect 0
run info --check "$s/d/scene-01.h5"
check "the hidden tokens are a sequence" said "layout: sequence"
check "with the class token" said "tokens: 26"
check "of the tower's width" said "width: 64"

# info
run info "$s/open/open_clip_model.safetensors"
expect 0
for word in "kind: CLIP model" "naming: OpenCLIP" "pictures: 30 x 30 in patches of 6 x 6" "projection: 40" "--tokenizer"; do
    check "info says $word" said "$word"
done
run info "$s/pipeline/image_encoder/model.fp16.safetensors"
check "one tower is said to be one" said "kind: CLIP image tower"

# a config decides; one of another model is refused in a folder, and passed over beside a file that was named
config() { printf '{"model_type": "clip", "vision_config": {"hidden_size": %s, "hidden_act": "%s", "num_attention_heads": 2}}' "$1" "$2" >"$s/config/config.json"; }
cp "$s/hf/model.safetensors" "$s/config"
config 64 gelu
run encode "$s/v/scene-01.mp4" -o "$s/e" --space "clip:$s/config"
expect 0 "gelu (by config.json)"
check "its heads are in the id" test "$(space_of "$s/e/scene-01.h5" | cut -d: -f3-)" = "crop30:gelu:heads2:pooled"
config 96 gelu
run encode "$s/v/scene-01.mp4" -o "$s/e" --space "clip:$s/config"
refused 1 "config.json" "width 96" "width 64"
run encode "$s/v/scene-01.mp4" -o "$s/e" --space "clip:$s/config/model.safetensors"
expect 0 "quick_gelu (assumed"
config 64 swish
run encode "$s/v/scene-01.mp4" -o "$s/e" --space "clip:$s/config"
refused 1 "config.json" "unknown activation 'swish'" "quick_gelu or gelu"
echo '{"vision_config": ' >"$s/config/config.json"
run encode "$s/v/scene-01.mp4" -o "$s/e" --space "clip:$s/config"
refused 1 "config.json is not valid JSON"
rm "$s/config/config.json"
echo '{"image_mean": [1, 2]}' >"$s/config/preprocessor_config.json"
run encode "$s/v/scene-01.mp4" -o "$s/e" --space "clip:$s/config"
refused 1 "preprocessor_config.json" "image_mean"

# what is refused, in one sentence that names the file and what was looked for
no() {
    run encode "$s/v/scene-01.mp4" -o "$s/o" "${@:2}" --space "clip:$1"
}
no "$s/nowhere.safetensors"
refused 1 "nowhere.safetensors" "No such file"
no ""
refused 1 "clip:PATH"
no "$s/empty"
refused 1 "holds no CLIP weights" "model.safetensors" "image_encoder"
cp "$s/hf/model.safetensors" "$s/two/a.safetensors"
cp "$s/hf/model.safetensors" "$s/two/b.safetensors"
no "$s/two"
refused 1 "2 safetensors files" "name the one"
weights "$s/missing.safetensors" hf f16 both without vision_model.encoder.layers.1.self_attn.k_proj.weight
no "$s/missing.safetensors"
refused 1 "missing.safetensors" "vision_model.encoder.layers.1.self_attn.k_proj.weight" "missing" "Hugging Face"
weights "$s/missing.safetensors" openclip f16 both without visual.ln_pre.bias
no "$s/missing.safetensors"
refused 1 "visual.ln_pre.bias" "missing" "OpenCLIP"
weights "$s/shape.safetensors" openclip f16 both halve visual.transformer.resblocks.2.attn.in_proj_weight
no "$s/shape.safetensors"
refused 1 "visual.transformer.resblocks.2.attn.in_proj_weight" "\[96, 64\]" "expected \[192, 64\]"
weights "$s/unprojected.safetensors" hf f16 both without visual_projection.weight
no "$s/unprojected.safetensors"
refused 1 "no projection" "visual_projection.weight"
no "$s/unprojected.safetensors" --tokens penultimate
expect 0
weights "$s/text.safetensors" hf f16 text
no "$s/text.safetensors"
refused 1 "text.safetensors" "no image tower" "vision_model.embeddings.class_embedding"
no "$s/text.safetensors" --tokens penultimate
refused 1 "no image tower"
no "$s/hf" --activation relu
refused 1 "unknown activation 'relu'"
no "$s/hf" --tokenizer "$s/empty"
refused 1 "empty: holds no tokenizer" "vocab.json" "tokenizer.json"
no "$s/hf" --tokens all
refused 2 "penultimate"
no "$s/v/scene-01.mp4"
refused 1 "scene-01.mp4: not a safetensors file"
printf '\0\0\0\0\0\0\0\020{}' >"$s/huge.safetensors"
no "$s/huge.safetensors"
refused 1 "1152921504606846976 bytes does not fit"
head -c 100000 "$s/hf/model.safetensors" >"$s/short.safetensors"
no "$s/short.safetensors"
refused 1 "short.safetensors"
mkdir "$s/shards"
printf '{"weight_map": {"a": "../hf/model.safetensors"}}' >"$s/shards/model.safetensors.index.json"
no "$s/shards"
refused 1 "index.json" "not said to be in a file beside it"
printf '{"weight_map": {"a": "gone.safetensors"}}' >"$s/shards/model.safetensors.index.json"
no "$s/shards"
refused 1 "gone.safetensors"
cp "$s/hf/model.safetensors" "$s/shards/part-1.safetensors"
printf '{"weight_map": {"a": "part-1.safetensors", "b": "part-1.safetensors"}}' >"$s/shards/model.safetensors.index.json"
no "$s/shards"
expect 0

report
