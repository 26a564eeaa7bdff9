#!/usr/bin/env bash
# Wrong words on the command line: status 2, one sentence, a hint.
set -u
. tests/cli.bash

run
expect 2 'Usage: inbetween COMMAND'
run --version
expect 0
check "--version names program and version" grep -qx 'inbetween [0-9]*\.[0-9]*\.[0-9]*' "$scratch/out"
for library in FFmpeg OpenBLAS HDF5 jansson; do
    check "--version names $library and which" grep -q "^$library [0-9]" "$scratch/out"
done
run --help
expect 0
for command in encode train pool render retime eval merge info; do
    check "--help lists $command" grep -q "^  $command " "$scratch/out"
done
for command in encode train pool render retime eval merge info; do
    run "$command" --help
    expect 0
    check "$command --help begins with its usage" grep -q "^Usage: inbetween $command " "$scratch/out"
    check "$command --help keeps to 80 columns" [ -z "$(grep -E '^.{81}' "$scratch/out")" ]
    cp "$scratch/out" "$scratch/help"
    run help "$command"
    check "help $command is the same" cmp "$scratch/help" "$scratch/out"
    run "$command"
    refused 2 'wanted: ' "'inbetween $command --help'"
    run "$command" x --no-such-option
    refused 2 "no option '--no-such-option'"
done
run train --help
for heading in 'Output and resuming' 'Budget and data' Optimiser Pool Cluster General; do
    check "train --help has the heading $heading" grep -qx "$heading:" "$scratch/out"
done
run encdoe x
refused 2 "there is no command 'encdoe'; did you mean 'encode'?"
run zzzzzz
refused 2 "there is no command 'zzzzzz'$"
run help zzzzzz
refused 2 "there is no command"
run --versoin
refused 2 "there is no option '--versoin'; did you mean '--version'?"
run encode x --ouptut y
refused 2 "did you mean '--output'?"
run encode x -o
refused 2 "\-o wants DIR, got nothing"
run encode x -o --every 3
refused 2 "\-o wants DIR, got the option '--every'"
run encode x -o "$scratch/o" --every
refused 2 '--every wants a whole number'
for number in 0 -1 1.5 1e3 abc 99999999999999999999 0x10 '1 ' ''; do
    run encode x -o "$scratch/o" --every "$number"
    refused 2 '--every wants a whole number'
done
for size in 0x0 192 192x 192x112x3 x112 -5x10 99999x99999; do
    run encode x -o "$scratch/o" --size "$size"
    refused 2 '--size wants a size WxH'
done
for frames in 0 1 -5 nan; do
    run render a.png b.png -o "$scratch/c.mp4" --frames "$frames"
    refused 2 "--frames wants a whole number from .* got '$frames'"
done
run render a.png b.png -o "$scratch/c.mp4" --fps nan
refused 2 '--fps wants a number'
run encode x -o "$scratch/o" --quiet=yes
refused 2 '--quiet takes no value'
run encode x -o "$scratch/o" --threads 0
refused 2 '--threads wants a whole number from 1'
absent "$scratch/c.mp4" "$scratch/o"

"$INBETWEEN" --help >/dev/full 2>"$scratch/err"
status=$? words='--help >/dev/full'
expect 1 'cannot write to standard output'
"$INBETWEEN" --man >"$scratch/page"
check "the man page has all commands" [ "$(grep -c '^\.SH INBETWEEN ' "$scratch/page")" = 11 ]
check "the man page has the headings of train's options" grep -qx '\.SS Optimiser' "$scratch/page"
if command -v groff >/dev/null; then
    check "groff takes the man page without a word" [ -z "$(groff -man -Tutf8 -ww "$scratch/page" 2>&1 >/dev/null)" ]
else
    skip_part "groff is not here: the man page is not formatted"
fi
"$INBETWEEN" --completion bash >"$scratch/completion"
check "bash takes the completion" bash -n "$scratch/completion"
report
