#!/usr/bin/env bash
# What a run begins with: the default adapter where it fits, and the words of --init.
set -u
. tests/cli.bash
s=$scratch
check "scenes are made" "$IB_SCENES" "$s/v" --count 2 --frames 20 --size 64x48
rm "$INBETWEEN_SHARE/default.safetensors"
run encode "$s/v" -o "$s/latents"
expect 0
train() {
    local name=$1
    shift
    run train "$s/latents" -o "$s/$name" --steps 2 --batch 2 --threads 1 --valid-part 0 "$@"
}
train toaster --preset toaster
expect 0
cp "$s/toaster/adapter.safetensors" "$INBETWEEN_SHARE/default.safetensors"
sha=$(sha256sum "$INBETWEEN_SHARE/default.safetensors" | cut -c1-64)
parent() { "$INBETWEEN" info "$s/$1/adapter.safetensors" --json | grep -q "$sha"; }
check "there is nothing to begin with at first" eval '! parent toaster'
train own --preset toaster
expect 0
check "then a run of its size begins with it" parent own
check "and says so" grep -q 'begins with .*default.safetensors' "$s/err"
train asked --init default
expect 0
check "or any that asks for it" parent asked
train plain --preset toaster --init none
expect 0
check "or not" eval '! parent plain'
check "which is the run of before" cmp "$s/plain/adapter.safetensors" "$s/toaster/adapter.safetensors"
train large --preset large
expect 0
check "a run of another size does not" eval '! parent large'
check "and says why" grep -q 'random weights.*default.safetensors' "$s/err"
train asked2 --preset large --init default
refused 1 'default.safetensors'
train own --resume --steps 3
expect 0
check "a resumed run keeps its parent" parent own
run train "$s/latents" -o "$s/own" --resume --init none --steps 4
refused 1 'init'
run train "$s/latents" -o "$s/plain" --resume --init none --steps 3 --threads 1
expect 0
rm "$INBETWEEN_SHARE/default.safetensors"
train asked3 --init default
refused 1 'comes with the program'
report
