#!/usr/bin/env bash
# Diffusion models that are led by image embeddings alone, Stable unCLIP and Kandinsky 2.2: the independent implementation's pictures, noise
# levels, sizes. Small models with random weights (tests/fixtures/diffusion/make_image_models.py).
set -u
. tests/cli.bash
s=$scratch f=tests/fixtures/diffusion clip=tests/fixtures/clip-tiny
differ() { python3 tests/png_differ.py "$@"; }
unclip=$s/unclip kandinsky=$s/kandinsky
cp -r $f/unclip $f/kandinsky "$s"
cp -r $f/unet-unclip "$unclip/unet"
cp -r $f/pipeline/vae "$unclip/vae"
cp -r $f/unet-kandinsky "$kandinsky/unet"
cp -r $f/movq "$kandinsky/movq"
# An eighth of some half weights, exactly.
python3 - "$kandinsky/movq/diffusion_pytorch_model.safetensors" <<'PY'
import json, struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
n = 8 + struct.unpack("<Q", data[:8])[0]
done = 0
for name, t in json.loads(data[8:n]).items():
    if name.endswith("to_q.weight") or name == "decoder.conv_out.weight":
        assert t["dtype"] == "F16"
        for at in range(n + t["data_offsets"][0], n + t["data_offsets"][1], 2):
            struct.pack_into("<e", data, at, struct.unpack_from("<e", data, at)[0] / 8)
        done += 1
assert done > 2
open(sys.argv[1], "wb").write(data)
PY
mkdir "$unclip/text_encoder" "$unclip/tokenizer"
cp $clip/model.safetensors $clip/config.json "$unclip/text_encoder"
cp $clip/vocab.json $clip/merges.txt "$unclip/tokenizer"
echo '{"pad_token": "!"}' >"$unclip/tokenizer/tokenizer_config.json"
way=($f/pipeline/a.png $f/pipeline/b.png)
lead=(--space "clip:$clip" --guide none --size 64x64)
full=("${lead[@]}" -n 3 --seed 7 --strength 1 --diffuse-every 1)

by_unclip=("${full[@]}" --renderer "$unclip" --prompt "a red circle at the left" --steps 4 --guidance 3)
run render "${way[@]}" -o "$s/u-%d.png" "${by_unclip[@]}" --noise-level 200
expect 0 'Stable unCLIP: 1 of 3 frames' 'steps of pndm, guidance 3'
check "unCLIP's picture is diffusers'" differ "$s/u-2.png" $f/unclip/expected.rgb 2
check "the first frame is the first keyframe" differ "$s/u-1.png" $f/pipeline/a.png 0
check "the last frame is the last keyframe" differ "$s/u-3.png" $f/pipeline/b.png 0
for level in 0 none; do
    run render "${way[@]}" -o "$s/$level-%d.png" "${by_unclip[@]}" --noise-level $level
    expect 0
done
run render "${way[@]}" -o "$s/usual-%d.png" "${by_unclip[@]}"
expect 0
check "the usual noise level is 0" differ "$s/usual-2.png" "$s/0-2.png" 0
for other in 0 none; do
    check "level $other gives another picture than 200" test "$(differ "$s/$other-2.png" "$s/u-2.png" 0 | tr -dc 0-9)" != 00
done
check "without a tower of its own there is a warning" grep -q 'warning: .*unclip does not say which image tower' "$s/err"
run render "${way[@]}" -o "$s/no.mp4" "${by_unclip[@]}" --noise-level 1000
refused 2 "none or a number from 0 to 999, not '1000'"
run render "${way[@]}" -o "$s/no.mp4" "${by_unclip[@]}" --noise-level some
refused 2 "none or a number from 0 to 999, not 'some'"
# the image tower beside the model: the same, the same to rounding, another one
mkdir "$unclip/image_encoder"
cp $clip/model.safetensors $clip/config.json $clip/preprocessor_config.json "$unclip/image_encoder"
spoil() { # BITS: of each number of the projection, in its first and last byte
    python3 - "$unclip/image_encoder/model.safetensors" "$1" "$2" <<'PY'
import json, struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
n = 8 + struct.unpack("<Q", data[:8])[0]
t = json.loads(data[8:n])["visual_projection.weight"]
size = {"F16": 2, "F32": 4}[t["dtype"]]
for at in range(n + t["data_offsets"][0], n + t["data_offsets"][1], size):
    data[at] ^= int(sys.argv[2])
    data[at + size - 1] ^= int(sys.argv[3])
open(sys.argv[1], "wb").write(data)
PY
}
for bits in "0 0" "1 0"; do
    spoil $bits
    run render "${way[@]}" -o "$s/tower-%d.png" "${by_unclip[@]}" --overwrite
    expect 0
    check "with its own, bits $bits, there is none" test -z "$(grep 'warning' "$s/err")"
done
spoil 0 128
run render "${way[@]}" -o "$s/no.mp4" "${by_unclip[@]}"
refused 1 'unclip: was trained with the image tower beside it' "use --space clip:.*image_encoder"
rm -r "$unclip/image_encoder"

# without mean and deviation
mv "$unclip/image_normalizer" "$s"
run render "${way[@]}" -o "$s/scale-%d.png" "${by_unclip[@]}" --noise-level 200
expect 0 'warning: .*unclip has no image_normalizer/'
check "they count" test "$(differ "$s/scale-2.png" "$s/u-2.png" 0 | tr -dc 0-9)" != 00
mv "$s/image_normalizer" "$unclip"

printf '{"_class_name": "DDPMScheduler", "beta_schedule": "sigmoid"}' >"$unclip/image_noising_scheduler/scheduler_config.json"
run render "${way[@]}" -o "$s/no.mp4" "${by_unclip[@]}"
refused 1 'image_noising_scheduler: .beta_schedule. is sigmoid: this program does not have it'

rm -r "$unclip/image_noising_scheduler"

# noise of the keyframes: equal runs give equal bytes, equal ends give equal frames in the middle
inverted=("${lead[@]}" --renderer "$unclip" --noise inverted --steps 3 --guidance 2 --diffuse-every 1 -n 8)
run render "${way[@]}" ${way[0]} -o "$s/i/" "${inverted[@]}"
expect 0 '12 of 15 frames' 'with 3 steps of ddim' 'noise of the keyframes'
check "a picture says so" grep -aq 'Noise: inverted' "$s/i/0002.png"
check "the first frame is the first keyframe" differ "$s/i/0001.png" $f/pipeline/a.png 0
check "so is the last" differ "$s/i/0015.png" $f/pipeline/a.png 0
run render "${way[@]}" ${way[0]} -o "$s/j/" "${inverted[@]}"
expect 0
check "equal runs give equal bytes" diff -r "$s/i" "$s/j"
run render ${way[0]} ${way[0]} -o "$s/k/" "${inverted[@]}"
expect 0
check "equal keyframes give equal frames in the middle" differ "$s/k/0004.png" "$s/k/0005.png" 1
run render "${way[@]}" -o "$s/no.mp4" "${inverted[@]}" --sampler euler
refused 1 "inverted noise is that of the sampler ddim, not of 'euler'"
run render "${way[@]}" -o "$s/no.mp4" "${inverted[@]}" --strength 0.5
refused 2 'frames start from noise alone'
run render "${way[@]}" -o "$s/no.mp4" "${lead[@]}" --renderer "$unclip" --noise pink
refused 2 "shared or inverted, not 'pink'"

by_kandinsky=("${full[@]}" --renderer "$kandinsky" --steps 2)
run render "${way[@]}" -o "$s/k-%d.png" "${by_kandinsky[@]}"
expect 0 'Kandinsky 2.2: 1 of 3 frames' 'steps of ddpm, guidance 4'
check "Kandinsky's picture is diffusers'" differ "$s/k-2.png" $f/kandinsky/expected.rgb 2
check "its first frame is the first keyframe" differ "$s/k-1.png" $f/pipeline/a.png 0
run render "${way[@]}" -o "$s/no.mp4" "${by_kandinsky[@]}" --noise-level 3
refused 1 'a noise level is for Stable unCLIP, and this is Kandinsky 2.2'
run render 'text:a' 'text:b' -o "$s/no.mp4" --renderer "$kandinsky" --space "text:$kandinsky" --size 64x64
refused 1 'Kandinsky 2.2'
report
