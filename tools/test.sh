#!/usr/bin/env bash
# Sets everything up, builds, and runs the tests. Arguments go to ctest: tools/test.sh -R cli
set -eu
cd "$(dirname "$0")/.."
tools/setup.sh --tests
exec ctest --test-dir build --output-on-failure "$@" </dev/null
