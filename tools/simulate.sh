#!/usr/bin/env bash
# Prints the tables of docs/pools.md: many machines, simulated on one as processes of one thread each. Build first: tools/setup.sh --tests
#   tools/simulate.sh skill LATENTS     four workers with videos of their own, as a pool and over MPI, beside one with all of them
#   tools/simulate.sh garbage LATENTS   a pool of four, and a fifth worker that publishes garbage
#   tools/simulate.sh kill [TIMES]      workers of a pool killed at seeded moments (50), the others and their files looked at
# LATENTS: a directory of latent files. Every fifth, in order of names, validates; the others are dealt out in turn.
# INBETWEEN: the program (build/inbetween). SIMULATE_OUT: where runs go (build/simulated). SIMULATE_STEPS: of each of the four workers (800), SIMULATE_EVERY: between
# exchanges (100), SIMULATE_TRAIN: further options of all runs.
set -eu
cd "$(dirname "$0")/.."
inbetween=${INBETWEEN:-$PWD/build/inbetween}
out=${SIMULATE_OUT:-build/simulated}
steps=${SIMULATE_STEPS:-800}
every=${SIMULATE_EVERY:-100}
common="--preset toaster --batch 4 --threads 1 --valid-seconds 1000000 --quiet --json ${SIMULATE_TRAIN:-}"
export OMP_NUM_THREADS=1
mkdir -p "$out"

usage() {
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

# Splits a directory of latent files into links: valid, all, and a shard for each of four workers.
split() {
    local i=0 k=0 file
    rm -rf "$out/data"
    mkdir -p "$out"/data/{valid,all,0,1,2,3}
    for file in "$1"/*.h5; do
        file=$(realpath "$file")
        if [ $((i % 5)) = 2 ]; then
            ln -s "$file" "$out/data/valid/"
        else
            ln -s "$file" "$out/data/all/"
            ln -s "$file" "$out/data/$((k % 4))/"
            k=$((k + 1))
        fi
        i=$((i + 1))
    done
}

# train NAME SHARD STEPS OPTION...: one run; its JSON in NAME.json, a run that is there is not made again
train() {
    local name=$1 shard=$2 count=$3
    shift 3
    [ -s "$out/$name.json" ] && return
    rm -rf "${out:?}/$name"
    "$inbetween" train "$out/data/$shard" --valid "$out/data/valid" -o "$out/$name" --steps "$count" $common "$@" \
        >"$out/$name.part" 2>"$out/$name.log"
    mv "$out/$name.part" "$out/$name.json"
}

# pool NAME OPTION...: four workers
pool() {
    local name=$1 i pids=
    shift
    [ -s "$out/$name-3.json" ] && return
    rm -rf "${out:?}/$name"
    mkdir -p "$out/$name"
    for i in 0 1 2 3; do
        rm -f "$out/$name-$i.json"
        common=${common/--quiet/} train "$name-$i" $i "$steps" --pool "$out/$name" --pool-steps "$every" --pool-name "w$i" "$@" &
        pids="$pids $!"
    done
    wait $pids
}

# cluster NAME OPTION...: four ranks
cluster() {
    local name=$1 mpirun="mpirun -n 4"
    shift
    [ -s "$out/$name.json" ] && return
    rm -rf "${out:?}/$name"
    mpirun --version 2>&1 | grep -q 'Open MPI\|OpenRTE' && mpirun="$mpirun --oversubscribe --allow-run-as-root --bind-to none"
    $mpirun "$inbetween" train "$out/data/all" --valid "$out/data/valid" -o "$out/$name" --steps "$steps" --sync-every "$every" $common "$@" \
        >"$out/$name.part" 2>"$out/$name.log"
    mv "$out/$name.part" "$out/$name.json"
}

# table REFERENCE NAME...: of runs, several files of one pool as NAME-0 ... NAME-3
table() {
    python3 - "$out" "$@" <<'END'
import json, os, sys
out, reference, *names = sys.argv[1:]
path = lambda n: os.path.join(out, n + ".json")
load = lambda n: [json.load(open(path(m))) for m in ([n] if os.path.exists(path(n)) else [f"{n}-{i}" for i in range(4)])]
mean = lambda runs: sum(r["valid_skill"] for r in runs) / len(runs)
base, untrained = mean(load(reference)), mean(load("untrained"))
print(f"{'run':<28} {'samples':>8} {'skill':>8} {'of ' + reference:>10} {'of its gain':>11} {'sent per sample':>16} {'rounds':>6}")
for name in names:
    runs = load(name)
    ranks = runs[0]["ranks"]
    samples = sum(r["samples"] for r in runs)
    skill = mean(runs)
    sent = sum(r["sent_bytes"] for r in runs) * ranks / samples
    print(f"{name:<28} {samples:8d} {skill:8.4f} {100 * skill / base:9.1f}% {100 * (skill - untrained) / (base - untrained):10.1f}% "
          f"{sent:10.0f} bytes {max(r['exchanges'] for r in runs):6d}")
    if len(runs) > 1:
        print(f"{'':<28} its workers: " + ", ".join(f"{r['valid_skill']:.4f}" for r in runs))
END
}

skill() {
    split "$1"
    train untrained all 1 --lr 1e-9
    train one all $((4 * steps)) &
    for i in 0 1 2 3; do
        train "alone-$i" $i "$steps" &
    done
    wait
    pool pool
    pool pool-plain --outer plain
    pool pool-f16 --exchange f16
    cluster mpi
    cluster mpi-plain --outer plain
    cluster mpi-f16 --exchange f16
    table one untrained one alone-0 alone-1 alone-2 alone-3 pool pool-plain pool-f16 mpi mpi-plain mpi-f16
}

garbage() {
    local kind pid
    split "$1"
    train untrained all 1 --lr 1e-9
    train one all $((4 * steps))
    pool pool
    for kind in random x100 negated nan; do
        [ -s "$out/garbage-$kind-3.json" ] && continue
        rm -rf "${out:?}/garbage-$kind"
        tools/pool_forger.py "$out/garbage-$kind" $kind &
        pid=$!
        pool "garbage-$kind"
        kill $pid
    done
    table pool untrained one pool garbage-random garbage-x100 garbage-negated garbage-nan
    echo "said of the fifth worker, and how often:"
    for kind in random x100 negated nan; do
        grep -h mallory "$out/garbage-$kind"-?.log | sed "s/[0-9.e+]* times/N times/; s/^/$kind: /; s|$out/||" | sort | uniq -c
    done
}

kill_workers() {
    python3 tools/pool_killer.py "$inbetween" build/ib_scenes "$out/kill" "${1:-50}"
}

case ${1:-} in
skill | garbage)
    [ $# = 2 ] || usage
    "$@"
    ;;
kill)
    shift
    kill_workers "$@"
    ;;
*) usage ;;
esac
