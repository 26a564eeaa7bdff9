#!/usr/bin/env bash
# What takes too long for .ci/run: pictures of every family beside diffusers' own, ThreadSanitizer, ten minutes of each fuzzer, the
# numeric tests on a processor with SSE2 alone and on aarch64. Every step is run, also after one has failed; the status is the verdict.
# FUZZ_SECONDS=N fuzzes for N seconds each.
set -u
cd "$(dirname "$0")/.."
exec </dev/null
jobs=$(nproc)
if [ -z "${CMAKE_GENERATOR:-}" ] && command -v ninja >/dev/null; then
    export CMAKE_GENERATOR=Ninja
fi
failed=

step() {
    local title=$1 begun=$SECONDS
    shift
    echo
    echo "== $title"
    if "$@"; then
        echo "== $title: good, $((SECONDS - begun)) s"
    else
        echo "== $title: FAILED, $((SECONDS - begun)) s"
        failed="$failed
    $title"
    fi
}

build() {
    local log status
    log=$(mktemp)
    { cmake --preset "$1" && cmake --build "$2" -j "$jobs"; } >"$log" 2>&1
    status=$?
    [ $status = 0 ] || cat "$log"
    rm -f "$log"
    return $status
}

# The decoder's thread, the encoder's workers, the loader, pools, OpenMP. clang's OpenMP tells ThreadSanitizer by its tool Archer what its
# barriers order; GCC's does not, which makes every parallel loop look like a race. OpenBLAS and the libgomp in it are not built for
# ThreadSanitizer: what is done inside them is not looked at. test_train_run is left out: it counts seconds, and steps take many here.
threads() {
    local archer
    archer=$(realpath "$(clang -print-resource-dir)/../../libarcher.so") && [ -r "$archer" ] || { echo "no Archer: $archer"; return 1; }
    build tsan build-tsan &&
        TSAN_OPTIONS="ignore_noninstrumented_modules=1 exitcode=66" OMP_NUM_THREADS=3 \
            OMP_TOOL_LIBRARIES="$archer" ctest --test-dir build-tsan --output-on-failure -R \
            '^(test_(video_.*|encode|latent|range|nn|motion|adapter|clip|average|augment|train|train_begin|pool|render|renderer|retime|eval|merge|muon)|cli_(encode|train))$'
}

fuzz() {
    local target name
    for target in build-fuzz/fuzz_*; do
        name=${target##*/}
        mkdir -p "build-fuzz/corpus/$name"
        step "$name" "$target" -max_total_time="${FUZZ_SECONDS:-600}" -rss_limit_mb=4096 -verbosity=0 -print_final_stats=1 \
            -artifact_prefix="build-fuzz/$name-" "build-fuzz/corpus/$name"
    done
}

# COMPARE_PYTHON=PROGRAM: a Python that has the packages; else they are fetched into build-compare.
pictures() {
    local python=${COMPARE_PYTHON:-build-compare/bin/python}
    [ -x "$python" ] || { python3 -m venv build-compare &&
        build-compare/bin/pip install -q torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 peft==0.21.2 accelerate==1.15.0 pillow; } || return 1
    "$python" -W ignore tools/compare_diffusers.py 2>build/compare_diffusers.log || { tail -20 build/compare_diffusers.log; return 1; }
}

# The preset's build is also .ci/run's.
sanitized_python() {
    build sanitize build-sanitize && INBETWEEN_LIBRARY=$PWD/build-sanitize tools/test-python.sh
}

step "packages and release build" tools/setup.sh --ci
step "pictures beside diffusers' own" pictures
step "the Python package with older libraries" tools/test-python.sh --old
step "the Python package under AddressSanitizer" sanitized_python
step "threads, under ThreadSanitizer" threads
step "a processor with SSE2 alone" tools/old_processor.sh test_nn test_latent test_average test_range test_adapter test_motion test_muon \
    test_clip test_nn_forward
step "aarch64" tools/cross_aarch64.sh test_bits test_nn test_latent test_average test_range test_adapter test_motion test_muon test_render_size \
    test_clip test_nn_forward test_golden
step "fuzzers built" build fuzz build-fuzz
fuzz

echo
if [ -n "$failed" ]; then
    echo "FAILED after $SECONDS s:$failed"
    exit 1
fi
echo "all good after $SECONDS s"
