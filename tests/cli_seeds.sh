#!/usr/bin/env bash
# Of several seeds the best makes the clip: the same bytes as by that seed alone, going on, a judge, refusals. tests/test_seeds.c
# computes the choice apart. The model is a small one with random weights (tests/fixtures/diffusion/make_pipeline.py).
set -u
. tests/cli.bash
s=$scratch f=tests/fixtures/diffusion/pipeline clip=tests/fixtures/clip-tiny model=$scratch/model
mkdir -p "$model/text_encoder" "$model/tokenizer"
cp -r $f/model_index.json $f/unet $f/vae $f/scheduler "$model"
cp $clip/model.safetensors $clip/config.json "$model/text_encoder"
cp $clip/vocab.json $clip/merges.txt "$model/tokenizer"
way=($f/a.png $f/b.png)
lead=(--renderer "$model" --space "clip:$clip" --ip-adapter $f/ip-adapter.safetensors --guide none --size 64x64 --threads 1)
some=("${lead[@]}" -n 9 --steps 2 --guidance 1 --strength 1 --diffuse-every 2 --seed 3)

run render "${way[@]}" -o "$s/a/" "${some[@]}" --seeds 6 --json
expect 0 'of 6 seeds from 3 on, [3-8] agrees best: cosine' 'guidance 1, seed [3-8]'
chosen=$(value seed)
check "how many" test "$(value seeds)" = 6
check "how well" python3 -c 'import sys; assert -1 <= float(sys.argv[1]) <= 1' "$(value agreement)"
check "a picture says which" grep -aq "Seed: $chosen, Size" "$s/a/0005.png"
run render "${way[@]}" -o "$s/b/" "${some[@]}" --seeds 6
expect 0
check "the summary says which" grep -q "; seed $chosen, the best of 6" "$s/out"
check "the same seeds, the same bytes" diff -r "$s/a" "$s/b"
run render "${way[@]}" -o "$s/c/" "${some[@]}" --seed "$chosen"
expect 0
check "the bytes of that seed alone" diff -r "$s/a" "$s/c"
run render "${way[@]}" -o "$s/d/" "${some[@]}" --seeds 1
run render "${way[@]}" -o "$s/e/" "${some[@]}"
check "one seed is none to choose from" diff -r "$s/d" "$s/e"
run render "${way[@]}" "${way[0]}" -o "$s/loop/" "${some[@]}" --loop --seeds 2
expect 0

# prompts: the keyframes that are drawn choose
asked=('text:a red circle' 'text:a blue square')
run render "${asked[@]}" -o "$s/f.mkv" "${some[@]}" --seeds 3 --json
expect 0 'of 3 seeds from 3 on'
chosen=$(value seed)
check "a film says which" grep -aq "Seed: $chosen, Size" "$s/f.mkv"
run render "${asked[@]}" -o "$s/f/" "${some[@]}" --seeds 3
expect 0
run render "${asked[@]}" -o "$s/g/" "${some[@]}" --seed "$chosen"
expect 0
check "the bytes of that seed alone, keyframes too" diff -r "$s/f" "$s/g"
run render "${asked[@]}" -o "$s/h.mkv" "${some[@]}" --seeds 2 --direct
expect 0 'of 2 seeds'

# stopped while seeds are compared, and after that
slow=("${lead[@]}" -n 12 --steps 16 --guidance 3 --strength 1 --diffuse-every 1)
interrupted INT "grep -q 'by the first step' '$s/err'" render "${way[@]}" -o "$s/i.mkv" "${slow[@]}" --seeds 64
refused 130 'i.mkv: stopped while seeds were compared; no frame was made'
absent "$s/i.mkv"
check "nothing is left" test "$(ls -A "$s" | grep -c 'resume\|tmp')" = 0
interrupted INT "ls $s/.j.diffused.resume/*4.png >/dev/null 2>&1" render "${way[@]}" -o "$s/j/" "${slow[@]}" --seeds 2
refused 130 'the same command goes on from there'
run render "${way[@]}" -o "$s/j/" "${slow[@]}" --seeds 2 --json
expect 0 'some are there from a run that was stopped'
run render "${way[@]}" -o "$s/k/" "${slow[@]}" --seed "$(value seed)"
expect 0
check "and goes on to the same clip" diff -r "$s/j" "$s/k"

# by a judge
check "scenes are made" "$IB_SCENES" "$s/v" --count 3 --frames 16 --size 96x64
run encode "$s/v" -o "$s/l" --space "clip:$clip"
expect 0
run train-judge "$s/l" -o "$s/judge.safetensors" --samples 100 --epochs 1 -q
expect 0
run render "${way[@]}" -o "$s/m/" "${some[@]}" --seeds 6 --judge "$s/judge.safetensors" --json
expect 0 "of 6 seeds from 3 on, [3-8] agrees best: the judge's score"
run render "${way[@]}" -o "$s/n/" "${some[@]}" --seed "$(value seed)"
check "the bytes of the seed that it prefers" diff -r "$s/m" "$s/n"
run render "${way[@]}" -o "$s/o/" "${some[@]}" --seeds 2 --search 8 --judge "$s/judge.safetensors"
expect 0 "the judge's score"

# refusals
run render "${way[@]}" -o "$s/no.mp4" "${some[@]}" --seeds 0
refused 2 'seeds'
run render "${way[@]}" -o "$s/no.mp4" "${some[@]}" --seeds 65
refused 2 'seeds'
run render "${way[@]}" -o "$s/no.mp4" --seeds 3
refused 2 '--seeds needs --renderer'
run render "${asked[@]}" -o "$s/no.mp4" --renderer "$model" --space "text:$model" --size 64x64 --seeds 3
refused 1 'seeds are compared by what an image tower sees in their pictures; say which (--space clip:PATH)'
run render "${way[@]}" -o "$s/no.mp4" "${some[@]}" --seeds 3 --prompt 'a ring' --condition prompt
refused 1 'no.mp4: seeds are compared in frames that are diffused and led by image embeddings, and here are none'
run render "${way[@]}" -o "$s/no.mp4" "${lead[@]}" --seeds 3 --noise inverted
refused 1 'inverted noise is that of the keyframes'
run render "${way[@]}" -o "$s/no.mp4" "${some[@]}" --judge "$s/judge.safetensors"
refused 2 '--judge says how to search: --search N is missing'
run render "${asked[@]}" -o "$s/no.mp4" "${some[@]}" --seeds 2 --judge "$s/judge.safetensors"
refused 1 'judge.safetensors: a judge looks between keyframes, and the prompts among these are drawn first'
run render "${way[@]}" -o "$s/no.mp4" "${some[@]}" --seeds 2 --judge $f/ip-adapter.safetensors
refused 1 'ip-adapter.safetensors'
absent "$s/no.mp4"
report
