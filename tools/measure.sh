#!/usr/bin/env bash
# Prints the figures of docs/measuring.md. Build first: tools/setup.sh
#   tools/measure.sh quality TRAIN HELDOUT [MINUTES]  trains on one directory of videos, judges on the other
#   tools/measure.sh judge ADAPTER HELDOUT            the second half of it: tables, page, screenshots and strips of docs/results.md
#   tools/measure.sh fullsize ADAPTER VIDEO...        PSNR at the videos' own size and at 192x112
#   tools/measure.sh training [SECONDS]               training steps: samples/s, share of sgemm's peak, beside PyTorch
#   tools/measure.sh memory LATENTS                   peak memory of the presets
#   tools/measure.sh encoding VIDEO...                encode beside ffmpeg -f null
#   tools/measure.sh guides SPACE GAPS VIDEO...       encode with guides and without: pictures a second through the tower
#   tools/measure.sh rendering ADAPTER VIDEO          in-betweens a second at the video's own size, peak memory
#   tools/measure.sh retime ADAPTER [VIDEO]           a minute of 720p to twice its rate: time, peak memory, killed and gone on with
#   tools/measure.sh merging VIDEOS [STEPS]           two halves of a directory trained apart, merged in all ways (docs/merging.md)
#   tools/measure.sh mergespeed [MIB]                 merging two files of that size beside a plain copy, peak memory
#   tools/measure.sh finetune VIDEOS [MINUTES...]     from random weights and from the default adapter, after 1, 3 and 10 minutes
# MEASURE_OUT: where results go (build/measured).
set -eu
cd "$(dirname "$0")/.."
inbetween=$PWD/build/inbetween
out=${MEASURE_OUT:-build/measured}
threads=${MEASURE_THREADS:-$(nproc)}
mkdir -p "$out"

usage() {
    sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
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
print(f"{time.monotonic() - begun:.2f} s, peak memory {kib / 1024:.0f} MiB", file=sys.stderr)
sys.exit(status)
END
}

machine() {
    grep -m1 'model name' /proc/cpuinfo | sed 's/.*: //' || true
    echo "$threads threads, load $(cut -d' ' -f1 /proc/loadavg), ${OPENBLAS_CORETYPE:+OPENBLAS_CORETYPE=$OPENBLAS_CORETYPE, }$("$inbetween" --version | head -n 1)"
}

quality() {
    [ $# -ge 2 ] || usage
    local minutes=${3:-30}
    "$inbetween" encode "$1" -o "$out/train" --quiet
    say "training for $minutes minutes"
    rm -rf "$out/run"
    peak "$inbetween" train "$out/train" -o "$out/run" --init none --minutes "$minutes" --threads "$threads"
    judge "$out/run/adapter.safetensors" "$2"
}

# Into $out/judged: report.txt, .json, .csv, .html, tables.md, and what docs/results/ holds: screenshots and strips as JPEG.
judge() {
    [ $# = 2 ] || usage
    local to=$out/judged name
    rm -rf "$to"
    mkdir -p "$to/pictures"
    say "evaluation without minterpolate: time and memory"
    peak "$inbetween" eval "$2" --adapter "$1" --gap 2,4,8,16,32 --threads "$threads" -o "$to/plain.json" --quiet
    say "evaluation with it"
    peak "$inbetween" eval "$2" --adapter "$1" --gap 2,4,8,16,32 --threads "$threads" --minterpolate --quiet \
        -o "$to/report.txt" -o "$to/report.json" -o "$to/report.csv" -o "$to/report.html" --strips "$to/strips"
    cat "$to/report.txt"
    tools/results.py "$to/report.json" >"$to/tables.md"
    tools/check_page.py "$to/report.html" "$to/report.json" "$to/screenshots" || echo "the page was not looked at"
    for name in light dark phone; do
        [ ! -e "$to/screenshots/$name.png" ] ||
            ffmpeg -nostdin -v error -y -i "$to/screenshots/$name.png" -q:v 3 "$to/pictures/page-$name.jpg"
    done
    for name in best median worst; do
        ffmpeg -nostdin -v error -y -i "$to/strips/$name.png" -q:v 4 "$to/pictures/$name.jpg"
    done
    say "in $to"
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
        peak "$inbetween" train "$1" -o "$out/memory" --preset $preset --init none --minutes 0.7 --threads "$threads" --quiet
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

# What guides cost beside the passes of the tower that they take: each guide is two of them.
guides() {
    [ $# -ge 3 ] || usage
    python3 - "$inbetween" "$out/guides" "$threads" "$@" <<'END'
import json, os, resource, shutil, subprocess, sys, time
program, out, threads, space, gaps, *videos = sys.argv[1:]

def encode(*options):
    shutil.rmtree(out, ignore_errors=True)
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([program, "encode", *videos, "-o", out, "--space", space, "--quiet", "--json",
                           "--threads", threads, *options], check=True, stdout=subprocess.PIPE)
    video = json.loads(done.stdout)["videos"]
    pictures = sum(v["frames"] + 2 * v["guides"] for v in video)
    seconds, user = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    return pictures, seconds, user

n, plain, user = encode("--guide", "none")
print(f"frames alone: {n} pictures in {plain:.1f} s (processor {user:.1f} s), {n / plain:.2f} a second", flush=True)
m, with_guides, user = encode("--guide-gaps", gaps)
print(f"with guides at gaps of {gaps}: {m} pictures in {with_guides:.1f} s (processor {user:.1f} s), "
      f"{m / with_guides:.2f} a second, {m / with_guides / (n / plain):.2f} times as many")
shutil.rmtree(out, ignore_errors=True)
END
}

rendering() {
    [ $# = 2 ] || usage
    peak "$inbetween" render "$2@0.5s" "$2@0.8s" -o "$out/clip.mp4" --adapter "$1" --frames 26 --gap-seconds 0.3 \
        --threads "$threads" --json
}

# Without a video, of moving scenes, one cut every four seconds.
retime() {
    [ $# -ge 1 ] || usage
    local video=${2:-} to=$out/retime pid scene
    rm -rf "$to"
    mkdir -p "$to"
    if [ -z "$video" ]; then
        build/ib_scenes "$to/scenes" --count 15 --frames 100 --size 1280x720 >/dev/null
        for scene in "$to"/scenes/*.mp4; do
            echo "file '$(realpath "$scene")'"
        done >"$to/list"
        ffmpeg -nostdin -v error -f concat -safe 0 -i "$to/list" -f lavfi -i sine=440 -t 60 -c:v copy -c:a aac "$to/minute.mp4"
        video=$to/minute.mp4
    fi
    local words=(--fps "$(twice "$video")" --adapter "$1" --threads "$threads" --quiet)
    peak "$inbetween" retime "$video" -o "$to/whole.mp4" "${words[@]}" --json | tee "$to/figures.json"
    python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); print("%.3f s an in-between, end to end" % (d["rendered_in_seconds"] / d["made"]))' \
        "$to/figures.json"
    "$inbetween" retime "$video" -o "$to/again.mp4" "${words[@]}" &
    pid=$!
    sleep "${MEASURE_KILL:-30}"
    kill -9 $pid && wait $pid || true
    "$inbetween" retime "$video" -o "$to/again.mp4" "${words[@]}"
    cmp "$to/whole.mp4" "$to/again.mp4" && echo "killed and gone on with: the same bytes"
}

# twice VIDEO: its frame rate, doubled
twice() {
    ffprobe -v error -select_streams v:0 -show_entries stream=avg_frame_rate -of csv=p=0 "$1" | awk -F/ '{ printf "%d/%d", 2 * $1, $2 }'
}

# Every fourth video trains what the others may begin with; of the rest one half is A's, the other B's, and of each half every fourth
# only validates.
split_videos() {
    local i=0 j=0 k=0 file
    rm -rf "$out"/{start,a,b,a-valid,b-valid}
    mkdir -p "$out"/{start,a,b,a-valid,b-valid}
    for file in "$out"/videos/*.h5; do
        if [ $((i++ % 4)) = 0 ]; then
            ln -s "$file" "$out/start/"
        elif [ $((j++ % 2)) = 0 ]; then
            ln -s "$file" "$out/a$([ $((k % 4)) != 1 ] || echo -valid)/"
        else
            ln -s "$file" "$out/b$([ $((k % 4)) != 1 ] || echo -valid)/"
            k=$((k + 1))
        fi
    done
}

# apart RUN HALF SEED [ARGUMENT...]
apart() {
    "$inbetween" train "$out/$2" --valid "$out/$2-valid" -o "$out/$1" --seed "$3" --preset toaster --steps "$steps" \
        --threads "$threads" --valid-seconds 100000 --quiet "${@:4}"
}

merging() {
    [ $# -ge 1 ] || usage
    steps=${2:-1600}
    out=$(realpath "$out")/merging
    "$inbetween" encode "$1" -o "$out/videos" --size 128x80 --quiet
    split_videos
    rm -rf "$out"/{separate,shared}-* "$out/begun"
    "$inbetween" train "$out/start" -o "$out/begun" --valid-part 0 --seed 11 --preset toaster --steps $((steps / 2)) \
        --threads "$threads" --quiet
    local base=$out/begun/adapter.safetensors kind a b name options
    local adapters=(--adapter "$base")
    apart separate-a a 21
    apart separate-b b 22
    apart shared-a a 31 --init "$base"
    apart shared-b b 32 --init "$base"
    for kind in separate shared; do
        a=$out/$kind-a/adapter.safetensors b=$out/$kind-b/adapter.safetensors
        adapters+=(--adapter "$a" --adapter "$b")
        say "$kind"
        "$inbetween" merge "$a" "$b" --base "$base" --dry-run
        while read -r name options; do
            # shellcheck disable=SC2086
            "$inbetween" merge "$a" "$b" -o "$out/$kind-$name.safetensors" $options --quiet </dev/null
            adapters+=(--adapter "$out/$kind-$name.safetensors")
        done <<END
linear
slerp --method slerp
task-arithmetic-0.3 --method task-arithmetic --base $base --lambda 0.3
task-arithmetic-0.7 --method task-arithmetic --base $base --lambda 0.7
task-arithmetic-1 --method task-arithmetic --base $base
ties-0.2 --method ties --base $base
ties-1 --method ties --base $base --density 1
dare-0.5 --method dare --base $base --lambda 0.5
dare-0.9 --method dare --base $base --lambda 0.5 --drop 0.9
END
    done
    say "on the videos that only validate"
    for kind in a b; do
        "$inbetween" eval "$out/$kind-valid" "${adapters[@]}" --gap 8 --threads "$threads" --json --quiet >"$out/$kind.json"
    done
    python3 - "$out" <<'END'
import json, os, sys
out = sys.argv[1]
a, b = (json.load(open(f"{out}/{half}.json")) for half in "ab")
print(f"{'':44}{'on A':>9}{'on B':>9}{'union':>9}   skill; dB over slerp on the union")
for method in a["protocol"]["methods"]:
    if not method.get("file"):
        continue
    x, y = (d["gaps"][0]["mean"][method["name"]] for d in (a, b))
    n, m = (len(d["gaps"][0]["clips"]) for d in (a, b))
    mean = {key: (n * x[key] + m * y[key]) / (n + m) for key in ("skill", "gain_db")}
    print(f"{os.path.relpath(method['file'], out):44}{x['skill']:9.4f}{y['skill']:9.4f}{mean['skill']:9.4f}   "
          f"{mean['gain_db']:+.3f}")
END
}

mergespeed() {
    for method in linear slerp ties; do
        say "$method"
        build/bench_merge "$out" "${1:-1024}" "$method" 2
    done
}

# One's own videos, every fourth of them left out to judge by. One run for each budget: the learning rate falls with it.
finetune() {
    [ $# -ge 1 ] || usage
    local videos=$1 to=$out/finetune n=0 minutes init run adapters=()
    shift
    [ $# -ge 1 ] || set -- 1 3 10
    rm -rf "$to"
    mkdir -p "$to/train" "$to/heldout"
    for file in "$videos"/*; do
        [ -f "$file" ] || continue
        n=$((n + 1))
        ln -s "$(realpath "$file")" "$to/$([ $((n % 4)) = 2 ] && echo heldout || echo train)/"
    done
    "$inbetween" encode "$to/train" -o "$to/latents/train" --quiet
    "$inbetween" encode "$to/heldout" -o "$to/latents/heldout" --quiet
    for minutes; do
        for init in none default; do
            run=$to/$init-$minutes
            "$inbetween" train "$to/latents/train" -o "$run" --init $init --minutes "$minutes" --valid-part 0 --threads "$threads" --quiet
            adapters+=(--adapter "$run/adapter.safetensors")
        done
    done
    "$inbetween" eval "$to/latents/heldout" --adapter prior --adapter default "${adapters[@]}" --gap 4,8,16 --threads "$threads" \
        -o "$to/report.json" --quiet
    python3 - "$to/report.json" "$@" <<'END'
import json, os, sys
report, budgets = json.load(open(sys.argv[1])), sys.argv[2:]
name = {}
for m in report["protocol"]["methods"]:
    if m["kind"] == "adapter":
        file = m.get("file", "")
        name[os.path.basename(os.path.dirname(file)) if file.endswith("/adapter.safetensors") else m["name"]] = m["name"]
clips = sum(c["windows"] > 0 for c in report["gaps"][0]["clips"])
print(f"gain over slerp in dB, of {clips} videos that were left out\n")
print("| gap | prior | default |" + "".join(f" {b} min from scratch | {b} min from default |" for b in budgets))
print("|---|---|---|" + "---|---|" * len(budgets))
for g in report["gaps"]:
    row = [name["prior"], name["default"]] + [name[f"{i}-{b}"] for b in budgets for i in ("none", "default")]
    print(f"| {g['gap']} | " + " | ".join(f"{g['mean'][n]['gain_db']:+.2f}" for n in row) + " |")
END
}

case ${1:-} in
quality | judge | fullsize | training | memory | encoding | guides | rendering | retime | merging | mergespeed | finetune)
    machine
    "$@"
    ;;
*) usage ;;
esac
