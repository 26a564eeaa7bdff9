#!/usr/bin/env bash
# What a search finds on videos that nothing was learned from, as tables: by kind of judge, number of candidates, paths followed, candidates
# condensed, and how far guides lead. Not a test.
#   tests/bench_search.sh ADAPTER TRAIN HELD [DIR]
# ADAPTER, TRAIN, HELD: as tests/bench_joint.sh leaves them: an adapter, the latents it was trained on, others; DIR: where files go.
#   GAPS (4,8,16,32), KINDS ("both mean rank error real"), SAMPLES, EPOCHS: of train-judge; TABLES ("kinds numbers scales")
set -eu
[ $# -ge 3 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
adapter=$1 train=$2 held=$3 out=${4:-$(mktemp -d)}
gaps=${GAPS:-4,8,16,32}
inbetween=$(dirname "$0")/../build/inbetween
mkdir -p "$out"

# row NAME METHOD JSON: skills of a method by gap, with the difference to the adapter and its interval
row() {
    python3 - "$@" <<'PY'
import json, sys
name, method, report = sys.argv[1], sys.argv[2], json.load(open(sys.argv[3]))
cells = []
for gap in report["gaps"]:
    mean = gap["mean"][method]["skill"]
    pair = [p for p in gap["pairs"] if p["method"] == method and p["rival"] == "adapter"]
    cells.append("%+.3f" % mean + (" (%+.3f, %+.3f to %+.3f)" % (pair[0]["skill"]["mean"], *pair[0]["skill"]["interval"]) if pair else ""))
print("| %s | %s |" % (name, " | ".join(cells)))
PY
}
# judge KIND: trained once
judge() {
    local file=$out/$1.safetensors
    [ -f "$file" ] || "$inbetween" train-judge "$train" -a "$adapter" -o "$file" --held "$held" --kind "$1" --samples "${SAMPLES:-60000}" \
        --epochs "${EPOCHS:-8}" >"$out/$1.txt" 2>/dev/null
}
# sought NAME OPTION...: an evaluation, its report in $out/NAME.json, its seconds in $seconds
sought() {
    local name=$1 begun
    shift
    begun=$(date +%s.%N)
    "$inbetween" eval "$held" -a "$adapter" --gap "$gaps" -o "$out/$name.json" -q "$@"
    seconds=$(python3 -c "print('%.1f' % ($(date +%s.%N) - $begun))")
}
header() {
    local commas=${gaps//[^,]/}
    printf '\n| %s | gap %s |\n|---|%s---|\n' "$1" "${gaps//,/ | gap }" "${commas//,/---|}"
}

for table in ${TABLES:-kinds numbers scales}; do
    case $table in
    kinds)
        for kind in ${KINDS:-both mean rank error real}; do
            judge "$kind"
            echo "== $kind"
            cat "$out/$kind.txt"
            sought "kind-$kind" --search 27 --condense 27 --judge "$out/$kind.safetensors"
        done
        header "kind of judge, 27 candidates"
        row "the adapter" adapter "$out/kind-$kind.json"
        row "plain mean of all" "mean of candidates" "$out/kind-$kind.json"
        for kind in ${KINDS:-both mean rank error real}; do
            row "$kind, best alone" search "$out/kind-$kind.json"
            row "$kind, all condensed" "search, condensed" "$out/kind-$kind.json"
        done
        row "nearest candidate" "nearest candidate" "$out/kind-$kind.json"
        ;;
    numbers)
        judge both
        header "N, B, M; seconds of the whole evaluation"
        for how in "1 1 1" "3 1 3" "7 1 7" "11 1 11" "14 1 14" "27 1 27" "60 1 60" "120 1 120" "400 1 400" "27 1 1" "27 4 1" "27 16 1" "27 1 3" "27 1 9" "27 4 27"; do
            read -r n b m <<<"$how"
            sought "n$n-b$b-m$m" --search "$n" --beam "$b" --condense "$m" --judge "$out/both.safetensors"
            row "$n, $b, $m: $seconds s" "$([ "$m" = 1 ] && echo search || echo "search, condensed")" "$out/n$n-b$b-m$m.json"
            row "$n: nearest" "nearest candidate" "$out/n$n-b$b-m$m.json"
        done
        ;;
    scales)
        header "--guide-scale"
        for w in 0 0.5 0.75 1 1.25 1.5 2; do
            sought "scale-$w" --guide-scale "$w"
            row "$w" adapter "$out/scale-$w.json"
        done
        ;;
    esac
done
