#!/usr/bin/env bash
# Which adapter is used: the words of --adapter, what is used without it, and what happens where there is no default.
set -u
. tests/cli.bash
s=$scratch
check "scenes are made" "$IB_SCENES" "$s/v" --count 2 --frames 16 --size 64x48
a=$s/v/scene-01.mp4@0.1s b=$s/v/scene-01.mp4@0.4s

# clip NAME [OPTION...]: three frames without loss
clip() {
    local name=$1
    shift
    run render "$a" "$b" -o "$s/$name.mkv" --frames 3 --codec ffv1 "$@"
    expect 0
}
# middle NAME: a checksum of the frame between the keyframes
middle() { ffmpeg -v error -i "$s/$1.mkv" -vf 'select=eq(n\,1)' -frames:v 1 -f rawvideo - </dev/null | sha256sum; }
same() { [ "$(middle "$1")" = "$(middle "$2")" ]; }
# rows REPORT.json: the adapters' rows
rows() {
    python3 -c 'import json, sys
print(*[m["name"] for m in json.load(open(sys.argv[1]))["protocol"]["methods"] if m["kind"] == "adapter"])' "$1"
}
# measured OPTION...: a short evaluation; its rows in $rows
measured() {
    run eval "$s/v/scene-02.mp4" --gap 4 --windows-per-clip 1 --size 64x48 -o "$s/report.json" --quiet "$@"
    expect 0
    rows=$(rows "$s/report.json")
}

clip slerp --adapter none
clip nothing
clip default --adapter default
clip file --adapter "$INBETWEEN_SHARE/default.safetensors"
clip prior --adapter prior --json
check "--json names the adapter" grep -q '"adapter": "prior"' "$s/out"
check "the default without --adapter" same nothing default
check "the default is its file" same default file
check "none is another clip" eval '! same slerp default'
check "the prior is another clip" eval '! same slerp prior'
check "the prior is not the default" eval '! same prior default'
cp "$INBETWEEN_SHARE/default.safetensors" "$s/prior"
run render "$a" "$b" -o "$s/own.mkv" --frames 3 --codec ffv1 --adapter "$s/../$(basename "$s")/prior"
expect 0
check "a file of the word's name" same own default
run render "$a" "$b" -o "$s/no.mkv" --frames 3 --adapter defualt
refused 1 'defualt'
absent "$s/no.mkv"

measured
check "eval measures the default: $rows" [ "$rows" = default ]
measured --adapter none
check "eval without adapters: $rows" [ -z "$rows" ]
measured --adapter prior --adapter default --adapter none
check "both by their names: $rows" [ "$rows" = "prior default" ]
check "the report names the default's file" grep -q '.share/default.safetensors' "$s/report.json"

# where there is no default
rm "$INBETWEEN_SHARE/default.safetensors"
clip missing
check "the prior takes its place" same missing prior
check "with one warning" [ "$(grep -c 'warning: .*default.safetensors.*--adapter prior' "$s/err")" = 1 ]
clip quiet --adapter none
check "no warning without need" eval '! grep -q warning "$s/err"'
measured
check "in eval too: $rows" [ "$rows" = prior ]
check "with one warning in eval" [ "$(grep -c 'warning: .*default.safetensors' "$s/err")" = 1 ]

report
