#!/usr/bin/env bash
# Installs into a scratch prefix, then builds and runs the examples against what lies there, shared and static, by pkg-config and
# by CMake; and takes the project into another one.
set -eu
. tests/cli.bash
if [ -n "${IB_INSTRUMENTED:-}" ]; then
    skip "an instrumented library cannot be linked by a plain program"
fi
prefix=$scratch/prefix
CMAKE_GENERATOR=$(sed -n 's/^CMAKE_GENERATOR:INTERNAL=//p' "$IB_BUILD/CMakeCache.txt") # make may not be there
export CMAKE_GENERATOR
cmake --install "$IB_BUILD" --prefix "$prefix" >"$scratch/log" || {
    cat "$scratch/log"
    exit 1
}
export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name inbetween.pc)")
lib=$(dirname "$PKG_CONFIG_PATH")
export LD_LIBRARY_PATH=$lib
cc="${IB_CC:-cc} -std=c17 -Wall -Wextra -Werror"

# Headers: each alone, with no other path than the one above inbetween/, as C and as C++; and all together.
for header in $(cd "$prefix/include" && find inbetween -name '*.h' | sort); do
    printf '#include <%s>\n#include <%s>\n' "$header" "$header" >"$scratch/alone.c"
    # shellcheck disable=SC2086
    check "<$header> alone" $cc -I"$prefix/include" -fsyntax-only "$scratch/alone.c"
    if command -v g++ >/dev/null; then
        check "<$header> alone in C++" g++ -std=c++17 -Wall -Wextra -Werror -I"$prefix/include" -fsyntax-only -x c++ "$scratch/alone.c"
    fi
done
check "there are headers" test -e "$prefix/include/inbetween/adapter/adapter.h"

# tried HOW: the two examples, built into $scratch/HOW, do what they say
tried() {
    local how=$1 bin=$scratch/$1
    rm -f "$scratch/out.png" "$scratch/out.h5"
    check "between, $how" "$bin/between" "$scratch/a.png" "$scratch/b.png" 0.5 "$scratch/out.png"
    check "its picture is the size of the two, $how" test "$(ffprobe -v error -show_entries stream=width,height \
        -of csv=p=0 "$scratch/out.png")" = 192,112
    check "encode, $how" eval '"$bin/encode" "$scenes" "$scratch/out.h5" >"$scratch/shape"'
    check "it prints the shape, $how" grep -qx "40 frames, [0-9]* cuts, each 14 x 24 tokens of 96 numbers" "$scratch/shape"
    if [ -e "$scratch/first.png" ]; then
        check "the same picture, $how" cmp "$scratch/out.png" "$scratch/first.png"
    else
        cp "$scratch/out.png" "$scratch/first.png"
    fi
}
"$IB_SCENES" "$scratch/videos" --count 1 --frames 40 --size 192x112 >/dev/null
scenes=$(find "$scratch/videos" -name '*.mp4')
ffmpeg -v error -i "$scenes" -frames:v 1 "$scratch/a.png" </dev/null
ffmpeg -v error -ss 0.3 -i "$scenes" -frames:v 1 "$scratch/b.png" </dev/null

# by pkg-config: shared, where it was built, and static
mkdir "$scratch/pkg-config" "$scratch/pkg-config-static"
for name in between encode; do
    # shellcheck disable=SC2046,SC2086
    $cc examples/$name.c -o "$scratch/pkg-config/$name" $(pkg-config --cflags --libs inbetween)
    # shellcheck disable=SC2046,SC2086
    $cc examples/$name.c -o "$scratch/pkg-config-static/$name" $(pkg-config --static --cflags --libs inbetween | sed 's/-linbetween/-l:libinbetween.a/')
done
tried pkg-config
tried pkg-config-static
needs() { readelf -d "$1" | grep -q 'NEEDED.*libinbetween\.so\.0\.1\]'; }
if [ -e "$lib/libinbetween.so" ]; then
    check "the program needs libinbetween.so.0.1" needs "$scratch/pkg-config/between"
    check "the shared library shows what the headers declare" tools/check_exports.py "$lib/libinbetween.so"
fi
check "the static program does not" eval '! needs "$scratch/pkg-config-static/between"'

# by CMake's find_package, likewise
for static in OFF ON; do
    name=cmake-static-$static
    check "CMake configures the examples, static $static" cmake -S examples -B "$scratch/$name" -DCMAKE_PREFIX_PATH="$prefix" \
        -DCMAKE_C_COMPILER="${IB_CC:-cc}" -DEXAMPLES_STATIC=$static
    check "CMake builds the examples, static $static" cmake --build "$scratch/$name"
    tried "$name"
done
cat >"$scratch/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.16)
project(other LANGUAGES NONE)
find_package(inbetween 0.2 CONFIG)
if(inbetween_FOUND)
    message(FATAL_ERROR "a version that is not there was found")
endif()
END
check "find_package refuses another minor version" cmake -S "$scratch" -B "$scratch/refused" -DCMAKE_PREFIX_PATH="$prefix"

# as a part of another project: builds with what that says, brings no tests, installs nothing of its own
mkdir "$scratch/part"
cat >"$scratch/part/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.25)
project(other LANGUAGES C)
enable_testing()
add_subdirectory($PWD inbetween)
add_executable(between $PWD/examples/between.c)
target_link_libraries(between PRIVATE inbetween::inbetween)
add_executable(between_static $PWD/examples/between.c)
target_link_libraries(between_static PRIVATE inbetween::inbetween_static)
if(NOT "\${CMAKE_BUILD_TYPE}" STREQUAL "")
    message(FATAL_ERROR "the build type became \${CMAKE_BUILD_TYPE}")
endif()
END
check "another project takes it in" cmake -S "$scratch/part" -B "$scratch/part/build" -DCMAKE_C_COMPILER="${IB_CC:-cc}"
check "with the build type that it has" grep -qx 'CMAKE_BUILD_TYPE:STRING=' "$scratch/part/build/CMakeCache.txt"
check "without tests" eval 'ctest --test-dir "$scratch/part/build" -N | grep -qx "Total Tests: 0"'
check "without targets for tests" eval '! cmake --build "$scratch/part/build" --target help | grep -q test_nn'
check "installing nothing" cmake --install "$scratch/part/build" --prefix "$scratch/part/prefix"
check "nothing was installed" eval '[ ! -e "$scratch/part/prefix" ]'

check "the installed program runs" "$prefix/bin/inbetween" --version
# the adapter that comes with it is found where it was installed, by the program and by one that uses the library
if [ -e models/default.safetensors ]; then
    check "the default adapter is installed" cmp models/default.safetensors "$prefix/share/inbetween/default.safetensors"
fi
mkdir -p "$prefix/share/inbetween"
mv "$INBETWEEN_SHARE/default.safetensors" "$prefix/share/inbetween/default.safetensors"
unset INBETWEEN_SHARE
mkdir "$scratch/elsewhere"
check "the installed program finds it" "$prefix/bin/inbetween" render "$scratch/a.png" "$scratch/b.png" -n 3 -o "$scratch/elsewhere/d-%d.png"
check "without a warning" eval '! grep -q warning "$scratch/check.log"'
if [ -e "$lib/libinbetween.so" ]; then
    check "a program finds it beside the library" "$scratch/pkg-config/between" "$scratch/a.png" "$scratch/b.png" 0.5 "$scratch/e.png" default
fi
page=$(find "$prefix" -name inbetween.1)
check "there is a man page that names every command" grep -q 'inbetween encode' "$page"
check "bash takes the completion" bash -n "$(find "$prefix" -path '*bash-completion*' -name inbetween)"
report
