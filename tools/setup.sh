#!/usr/bin/env bash
# Installs what is missing (Debian 12 or a system like it) and builds the program: build/inbetween.
#   tools/setup.sh          what the program needs
#   tools/setup.sh --tests  and what its tests need
#   tools/setup.sh --ci     and what .ci/run needs
# Nothing is installed, and no root is needed, if nothing is missing.
set -eu
cd "$(dirname "$0")/.."

packages="gcc libc6-dev cmake ninja-build pkg-config libavformat-dev libavcodec-dev libavutil-dev libswscale-dev
    libavfilter-dev libopenblas-openmp-dev libhdf5-dev libjansson-dev libunistring-dev nettle-dev"
case ${1:-} in
"") ;;
--tests | --ci) packages="$packages ffmpeg groff-base hdf5-tools python3-numpy python3-h5py libopenmpi-dev openmpi-bin" ;;
*)
    echo "setup.sh: there is no option '$1' (--tests, --ci)" >&2
    exit 2
    ;;
esac
if [ "${1:-}" = --ci ]; then
    packages="$packages python3-venv g++ clang libclang-rt-dev clang-format-16 libomp-dev git chromium fonts-dejavu-core qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
fi

missing=
if command -v dpkg-query >/dev/null; then
    for package in $packages; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
    done
else
    echo "setup.sh: this is not Debian; going on with what is here. Needed, by Debian's names:" $packages >&2
fi
if [ -n "$missing" ]; then
    as_root=
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "setup.sh: please let root install these packages:$missing" >&2
            exit 1
        fi
        as_root=sudo
    fi
    echo "installing:$missing" >&2
    # a list of packages that is there already will often do, and works without a network beside a local mirror
    install="$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing"
    if ! $install </dev/null >&2; then
        $as_root apt-get update -q </dev/null >&2
        $install </dev/null >&2
    fi
fi

if [ -z "${CMAKE_GENERATOR:-}" ] && command -v ninja >/dev/null; then
    export CMAKE_GENERATOR=Ninja # for a new directory; an old one keeps its own
fi
mkdir -p build
cmake --preset release >build/configure.log 2>&1 </dev/null || {
    cat build/configure.log >&2
    exit 1
}
sed -n '/^CMake Warning/,/^$/p' build/configure.log >&2
cmake --build build -j "$(nproc)" </dev/null >&2
