#!/usr/bin/env bash
# inbetween train on a cluster, all ranks on this machine: exchange, equality with large batches, stopping, resuming with other numbers
# of ranks. Without MPI: what is said about that.
set -u
. tests/cli.bash
s=$scratch
export OMP_NUM_THREADS=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_btl=self,vader OMPI_MCA_btl_vader_single_copy_mechanism=none
common="--preset toaster --threads 1 --batch 2 --valid-seconds 1000"

check "scenes are made" "$IB_SCENES" "$s/v" --count 5 --frames 20 --size 96x64
run encode "$s/v" -o "$s/l" --size 48x32
expect 0
run train "$s/l" -o "$s/o" $common --steps 1 --mpi --pool "$s"
refused 2 'exclude each other'
run train "$s/l" -o "$s/o" $common --steps 1 --mpi --outer adam
if [ "$status" = 1 ] && grep -q 'has no MPI' "$s/err"; then
    refused 1 'INBETWEEN_MPI=ON'
    untouched "$s/o"
    OMPI_COMM_WORLD_SIZE=3 run train "$s/l" -o "$s/o" $common --steps 1
    refused 1 'one of 3 processes'
    untouched "$s/o"
    report || exit 1
    skip "this build has no MPI"
fi
refused 1 "no outer optimiser 'adam'" 'nesterov, plain'
untouched "$s/o"
mpirun=$(command -v mpirun || command -v mpiexec) || skip "there is no mpirun"
# MPI's own libraries leave memory behind when they are unloaded: leaks are looked for where there is no MPI in the process.
ranks=(env ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" "$mpirun")
case $("$mpirun" --version 2>&1) in
*"Open MPI"* | *OpenRTE*) ranks+=(--oversubscribe --allow-run-as-root) ;;
esac

# cluster K ARGUMENT...: as `run`, by K ranks
cluster() {
    local k=$1
    shift
    words="[$k ranks] $*"
    status=0
    "${ranks[@]}" -n "$k" "$INBETWEEN" "$@" >"$s/out" 2>"$s/err" </dev/null || status=$?
    out=$(cat "$s/out")
    err=$(cat "$s/err")
}

# near A B TOLERANCE: |A - B| / |B| of the weights of two runs
near() {
    tensors "$1/adapter.safetensors" >"$s/a.bin"
    tensors "$2/adapter.safetensors" >"$s/b.bin"
    python3 -c 'import array, math, sys
a, b = (array.array("f", open(f, "rb").read()) for f in sys.argv[1:3])
d = math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b)) / sum(y * y for y in b))
print("relative distance", d, "wanted at most", sys.argv[3])
sys.exit(not d <= float(sys.argv[3]))' "$s/a.bin" "$s/b.bin" "$3"
}

# one rank, plain averaging: ordinary training, to the bit, whatever is drawn between
run train "$s/l" -o "$s/plain" $common --steps 12
expect 0
cluster 1 train "$s/l" -o "$s/one" $common --steps 12 --mpi --outer plain --sync-every 1
expect 0 '1 rank, exchange every 1 steps'
check "one rank is ordinary training to the bit" same_tensors "$s/one/adapter.safetensors" "$s/plain/adapter.safetensors"

# two ranks that exchange after every step, plainly, and an inner optimiser that is linear in the gradient: a batch of twice the size
linear="--preset toaster --threads 1 --valid-seconds 1000 --optimiser sgd --lr 0.01 --clip 0 --steps 12"
run train "$s/l" -o "$s/large" $linear --batch 4
expect 0
cluster 2 train "$s/l" -o "$s/two" $linear --batch 2 --outer plain --sync-every 1 --shard samples --json
expect 0 '2 ranks'
check "two ranks are one with twice the batch" near "$s/two" "$s/large" 1e-6
check "both ranks' samples are counted" [ "$(value samples)" = 48 ]
check "training has changed something" sh -c "! cmp -s '$s/a.bin' '$s/plain.bin'"
check "that is not so without the exchange" sh -c "$(declare -f tensors near); s=$s; ! near '$s/plain' '$s/large' 1e-6"

# the traffic is the arithmetic: every rank sends 2 (K-1)/K of the parameters a round, slices rounded up
for form in "f32 4" "f16 2"; do
    set -- $form
    cluster 3 train "$s/l" -o "$s/traffic-$1" $common --steps 6 --sync-every 2 --exchange "$1" --json
    expect 0
    check "bytes sent with $1" [ "$(value sent_bytes)" = $((3 * 2 * 2 * (($(value parameters) + 2) / 3) * $2)) ]
    check "rounds" [ "$(value exchanges)" = 3 ]
    check "ranks" [ "$(value ranks)" = 3 ]
done
check "halves are nearly the same" near "$s/traffic-f16" "$s/traffic-f32" 2e-3

# in two sessions the same as in one, where the break falls on an exchange; then with other numbers of ranks
cluster 2 train "$s/l" -o "$s/whole" $common --steps 8 --sync-every 2
expect 0
cluster 2 train "$s/l" -o "$s/parts" $common --steps 8 --sync-every 2 --minutes 1 --json
[ "$status" != 0 ] || fail "minutes and steps were both taken"
cluster 2 train "$s/l" -o "$s/parts" $common --steps 4 --sync-every 2
expect 0
check "the second rank has a state" ls "$s/parts/ranks/rank-0001-000000000004.h5"
cluster 2 train "$s/l" -o "$s/parts" --resume --steps 8 --sync-every 2 --threads 1
expect 0 'going on at step 4'
for k in 1 3; do
    cluster $k train "$s/l" -o "$s/parts" --resume --steps $((8 + 2 * k)) --sync-every 2 --threads 1 --mpi --json
    expect 0
    check "$k ranks go on" [ "$(value ranks)" = "$k" ]
done
expect 0 'take the optimiser.s moments of rank 0'
check "states of ranks that are gone go too" [ "$(ls "$s/parts/ranks" | wc -l)" = 2 ]
run train "$s/l" -o "$s/parts" --resume --steps 16 --threads 1
expect 0

# a failure of one is the failure of all, said once
cluster 9 train "$s/l" -o "$s/many" $common --steps 2
expect 1 'cannot be dealt out to 9 ranks'
checks=$((checks + 1))
[ "$(grep -c '^inbetween: ' "$s/err")" = 1 ] || fail "wanted the sentence once"
untouched "$s/many"
cluster 2 train "$s/l" -o "$s/whole" $common --steps 8
expect 1 'already holds a run'

# stopped from outside: all ranks end, the state stays, and the run goes on. mpirun passes SIGUSR1 on; a batch system may send SIGTERM to a
# single process, and the others hear of it at the next exchange.
stop_with() { # SIGNAL mpirun|rank
    rm -rf "$s/long"
    "${ranks[@]}" -n 2 "$INBETWEEN" train "$s/l" -o "$s/long" $common --steps 1000000 --sync-every 3 >"$s/out" 2>"$s/err" </dev/null &
    local pid=$! i target
    for i in $(seq 300); do
        grep -q "^[1-9]" "$s/long/log.csv" 2>/dev/null && break
        sleep 0.2
    done
    target=$pid
    if [ "$2" = rank ]; then
        target=$(pgrep -P $pid -f 'inbetween train' | tail -1)
    fi
    kill "-$1" "$target"
    status=0
    wait $pid || status=$?
    words="[2 ranks, signal $1 to $2]"
    checks=$((checks + 1))
    [ "$status" != 0 ] || fail "an interrupted run wants a status that says so"
    expect "$status" 'interrupted at step [1-9]'
    cluster 2 train "$s/l" -o "$s/long" --resume --minutes 0.01 --threads 1
    expect 0 ': complete: raise'
    check "no half-written files" sh -c "! ls '$s/long'/.*.tmp '$s/long'/ranks/.*.tmp 2>/dev/null"
}
stop_with USR1 mpirun
stop_with TERM rank

# without MPI's mpirun nothing is different: a process by itself
run train "$s/l" -o "$s/alone" $common --steps 2 --json
expect 0
check "one process is no cluster" [ "$(value exchanges)" = 0 ]
report
