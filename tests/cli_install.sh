#!/usr/bin/env bash
# Installs into a scratch prefix, then builds and runs a program against what lies there, shared and static.
set -eu
. tests/cli.bash
if [ -n "${IB_INSTRUMENTED:-}" ]; then
    skip "an instrumented library cannot be linked by a plain program"
fi
prefix=$scratch/prefix
cmake --install "$IB_BUILD" --prefix "$prefix" >"$scratch/log" || {
    cat "$scratch/log"
    exit 1
}
cat >"$scratch/use.c" <<'END'
#include <inbetween/adapter/adapter.h>
#include <inbetween/latent/geometry.h>
#include <inbetween/train/train.h>
#include <math.h>
#include <stdio.h>

int main(void) {
    const float a[2] = {1, 0}, b[2] = {0, 1};
    float c[2];
    ib_error err = {0};
    ib_adapter_config config;
    ib_slerp(a, b, 0.5f, 1, 2, c);
    if (ib_adapter_preset("toaster", "patch", IB_LAYOUT_GRID, 96, &config, &err)) {
        printf("%s\n", err.text);
        return 1;
    }
    printf("%.4f %.4f\n", c[0], c[1]);
    return !(fabsf(c[0] - 0.70710678f) < 1e-6f && fabsf(c[1] - 0.70710678f) < 1e-6f);
}
END
export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name inbetween.pc)")
lib=$(dirname "$PKG_CONFIG_PATH")
for name in inbetween inbetween-static; do
    if [ $name = inbetween ] && [ ! -e "$lib/libinbetween.so" ]; then
        echo "the shared library was not built: only the static one is tried"
        continue
    fi
    # shellcheck disable=SC2046
    ${IB_CC:-cc} -std=c17 -Wall -Wextra -Werror "$scratch/use.c" -o "$scratch/use" $(pkg-config --cflags --libs $name) -lm
    check "a program against $name runs" env LD_LIBRARY_PATH="$lib" "$scratch/use"
done
if [ -e "$lib/libinbetween.so" ]; then
    strangers=$(nm -D --defined-only "$lib/libinbetween.so" | awk '$2 != "A" && $3 !~ /^ib_/ { print $3 }')
    check "the shared library shows only ib_ names ($strangers)" [ -z "$strangers" ]
fi
check "the installed program runs" "$prefix/bin/inbetween" --version
page=$(find "$prefix" -name inbetween.1)
check "there is a man page that names every command" grep -q 'inbetween encode' "$page"
check "bash takes the completion" bash -n "$(find "$prefix" -path '*bash-completion*' -name inbetween)"
report
