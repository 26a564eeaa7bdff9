#!/usr/bin/env bash
# Builds for aarch64 with Debian's cross compiler and runs test programs on an emulated processor.
#   tools/cross_aarch64.sh test_nn test_latent ...
# Needs gcc-aarch64-linux-gnu and qemu-user; Debian's arm64 libraries are unpacked under build-aarch64/, nothing else of the
# system is touched and no root is needed.
set -eu
cd "$(dirname "$0")/.."
[ $# != 0 ] || { echo "cross_aarch64.sh: which tests?" >&2; exit 2; }
for program in aarch64-linux-gnu-gcc qemu-aarch64 apt-get dpkg-deb cmake; do
    command -v $program >/dev/null || { echo "cross_aarch64.sh: $program is not here (Debian: gcc-aarch64-linux-gnu, qemu-user)" >&2; exit 1; }
done
here=$PWD/build-aarch64
root=$here/root
triplet=aarch64-linux-gnu
packages="libavformat-dev libavcodec-dev libavutil-dev libswscale-dev libavfilter-dev libopenblas-openmp-dev libhdf5-dev libjansson-dev
    libunistring-dev nettle-dev libgomp1"
begun=$SECONDS
if [ ! -e "$root/complete" ]; then
    rm -rf "$root" "$here/apt"
    mkdir -p "$root" "$here/apt/lists/partial" "$here/apt/archives/partial"
    : >"$here/apt/status"
    apt="apt-get -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State=$here/apt -o Dir::State::lists=$here/apt/lists
        -o Dir::State::status=$here/apt/status -o Dir::Cache=$here/apt -o Dir::Cache::archives=$here/apt/archives -o Debug::NoLocking=1
        -o APT::Sandbox::User="
    log=$here/apt/log
    if ! { $apt update && $apt install -y --no-install-recommends --download-only $packages; } >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        echo "cross_aarch64.sh: SKIPPED: Debian's arm64 packages cannot be fetched here"
        exit 77
    fi
    for package in "$here"/apt/archives/*.deb; do
        dpkg-deb -x "$package" "$root"
    done
    rm -rf "$here/apt"
    # what Debian's alternatives would point to
    for library in blas lapack; do
        for file in "$root/usr/lib/$triplet/$library"/lib$library.so.3; do
            [ ! -e "$file" ] || ln -sf "$library/lib$library.so.3" "$root/usr/lib/$triplet/lib$library.so.3"
        done
    done
    for file in "$root/usr/lib/$triplet/openblas-openmp"/*openblas*.so*; do
        ln -sf "openblas-openmp/$(basename "$file")" "$root/usr/lib/$triplet/$(basename "$file")"
    done
    touch "$root/complete"
fi
echo "arm64 libraries: $((SECONDS - begun)) s"

begun=$SECONDS
export PKG_CONFIG_SYSROOT_DIR=$root
export PKG_CONFIG_LIBDIR=$root/usr/lib/$triplet/pkgconfig:$root/usr/lib/$triplet/openblas-openmp/pkgconfig:$root/usr/share/pkgconfig
log=$here/build.log
if ! { cmake -S . -B "$here/build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
    -DCMAKE_PREFIX_PATH="$root/usr" -DCMAKE_C_COMPILER=$triplet-gcc -DCMAKE_C_FLAGS="-idirafter $root/usr/include -idirafter $root/usr/include/$triplet" \
    -DCMAKE_EXE_LINKER_FLAGS="-Wl,-rpath-link,$root/usr/lib/$triplet:$root/lib/$triplet -Wl,--unresolved-symbols=ignore-in-shared-libs" \
    -DINBETWEEN_MPI=OFF -DINBETWEEN_SHARED=OFF -DINBETWEEN_INSTALL=OFF -DINBETWEEN_PAGES=OFF &&
    cmake --build "$here/build" -j "$(nproc)" --target "$@"; } >"$log" 2>&1 </dev/null; then
    tail -n 40 "$log" >&2
    exit 1
fi
echo "build: $((SECONDS - begun)) s"

status=0
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
for test in "$@"; do
    begun=$SECONDS
    result=0
    qemu-aarch64 -L "$root" -E LD_LIBRARY_PATH="$root/usr/lib/$triplet:$root/lib/$triplet:$root/usr/lib/$triplet/openblas-openmp:$root/usr/lib/$triplet/pulseaudio" \
        "$here/build/$test" >"$log" 2>&1 </dev/null || result=$?
    echo "$test: status $result, $((SECONDS - begun)) s; $(tail -n 1 "$log")"
    if [ $result != 0 ] && [ $result != 77 ]; then
        tail -n 40 "$log"
        status=1
    fi
done
exit $status
