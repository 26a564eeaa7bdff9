#!/usr/bin/env bash
# Prints the figures of docs/measuring.md. Build first: tools/setup.sh
#   tools/measure.sh quality TRAIN HELDOUT [MINUTES]  trains on one directory of videos, judges on the other
#   tools/measure.sh fullsize ADAPTER VIDEO...        PSNR at the videos' own size and at 192x112
#   tools/measure.sh training [SECONDS]               training steps: samples/s, share of sgemm's peak, beside PyTorch
#   tools/measure.sh memory LATENTS                   peak memory of the presets
#   tools/measure.sh encoding VIDEO...                encode beside ffmpeg -f null
#   tools/measure.sh rendering ADAPTER VIDEO          in-betweens a second at the video's own size, peak memory
# MEASURE_OUT: where results go (build/measured).
set -eu
cd "$(dirname "$0")/.."
inbetween=$PWD/build/inbetween
out=${MEASURE_OUT:-build/measured}
threads=${MEASURE_THREADS:-$(nproc)}
mkdir -p "$out"

usage() {
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

say() {
    printf '\n== %s\n' "$*"
}

# peak COMMAND...: its output, then its peak memory and time
peak() {
    python3 - "$@" <<'END'
import resource, subprocess, sys, time
begun = time.monotonic()
status = subprocess.run(sys.argv[1:]).returncode
kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(f"{time.monotonic() - begun:.2f} s, peak memory {kib / 1024:.0f} MiB", flush=True)
sys.exit(status)
END
}

machine() {
    grep -m1 'model name' /proc/cpuinfo | sed 's/.*: //' || true
    echo "$threads threads, load $(cut -d' ' -f1 /proc/loadavg), ${OPENBLAS_CORETYPE:+OPENBLAS_CORETYPE=$OPENBLAS_CORETYPE, }$("$inbetween" --version)"
}

quality() {
    [ $# -ge 2 ] || usage
    local minutes=${3:-30}
    "$inbetween" encode "$1" -o "$out/train" --quiet
    "$inbetween" encode "$2" -o "$out/heldout" --quiet
    say "training for $minutes minutes"
    rm -rf "$out/run"
    peak "$inbetween" train "$out/train" -o "$out/run" --minutes "$minutes" --threads "$threads"
    say "evaluation on other videos"
    peak "$inbetween" eval "$out/heldout" -o "$out/evaluation.json" --adapter "$out/run/adapter.safetensors" \
        --gap 8,4,16 --minterpolate --strips "$out/strips" --threads "$threads"
}

fullsize() {
    [ $# -ge 2 ] || usage
    local adapter=$1
    shift
    say "at 192x112"
    "$inbetween" eval "$@" --adapter "$adapter" --gap 8 --windows-per-clip 6 --threads "$threads"
    say "at the videos' own size"
    peak "$inbetween" eval "$@" --adapter "$adapter" --gap 8 --windows-per-clip 6 --size native --threads "$threads"
}

training() {
    local seconds=${1:-20} torch=
    /usr/bin/python3 -c 'import torch' 2>/dev/null && torch=1
    [ -n "$torch" ] || echo "PyTorch is not here (apt-get install python3-torch): no comparison"
    for turn in 1 2 3; do
        say "pair $turn"
        build/bench_step default "$threads" "$seconds"
        [ -z "$torch" ] || /usr/bin/python3 tools/yardstick.py --threads "$threads" --seconds "$seconds"
        [ -z "$torch" ] || [ -z "${YARDSTICK:-}" ] || /usr/bin/python3 "$YARDSTICK" --threads "$threads" --seconds "$seconds"
    done
}

memory() {
    [ $# = 1 ] || usage
    for preset in toaster default large; do
        say "$preset"
        rm -rf "$out/memory"
        peak "$inbetween" train "$1" -o "$out/memory" --preset $preset --minutes 0.7 --threads "$threads" --quiet
    done
    rm -rf "$out/memory"
}

encoding() {
    [ $# -ge 1 ] || usage
    python3 - "$inbetween" "$out/encoding" "$threads" "$@" <<'END'
import os, shutil, subprocess, sys, time
program, out, threads, *videos = sys.argv[1:]

def seconds(command):
    best = 1e9
    for _ in range(3):
        shutil.rmtree(out, ignore_errors=True)
        begun = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        best = min(best, time.monotonic() - begun)
    return best

for video in videos:
    ours = seconds([program, "encode", video, "-o", out, "--quiet", "--threads", threads])
    theirs = seconds(["ffmpeg", "-nostdin", "-v", "error", "-threads", threads, "-i", video, "-map", "0:v:0",
                      "-vf", "scale=192:112", "-f", "null", "-"])
    print(f"{os.path.basename(video)}: encode {ours:.2f} s, ffmpeg -f null {theirs:.2f} s, "
          f"{theirs / ours:.2f} times its frame rate", flush=True)
shutil.rmtree(out, ignore_errors=True)
END
}

rendering() {
    [ $# = 2 ] || usage
    peak "$inbetween" render "$2@0.5s" "$2@0.8s" -o "$out/clip.mp4" --adapter "$1" --frames 26 --gap-seconds 0.3 \
        --threads "$threads" --json
}

case ${1:-} in
quality | fullsize | training | memory | encoding | rendering)
    machine
    "$@"
    ;;
*) usage ;;
esac
