#!/bin/sh
# Installs what is missing, builds with warnings as errors under gcc and clang, runs all tests; the short ones also under ASan and UBSan.
# Ends with ctest's own summary of the whole suite.
set -eu
cd "$(dirname "$0")/.."
sh scripts/install.sh test
base=${BUILD_DIR:-build}
configure() { cmake -S . -B "$1" -G Ninja "$2" "$3" "$4" -DBUILD_TESTING=ON -DINGOT_WERROR=ON >/dev/null; }

echo "== clang, AddressSanitizer and UndefinedBehaviorSanitizer: short tests"
configure "$base-asan" -DCMAKE_C_COMPILER=clang-19 -DINGOT_SANITIZE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo
ninja -C "$base-asan"
# libLLVM and Graphviz keep memory for the life of the process
ASAN_OPTIONS=detect_leaks=0 ctest --test-dir "$base-asan" -L short -j2 --output-on-failure >"$base-asan/short.log" 2>&1 || { cat "$base-asan/short.log"; exit 1; }
sed -n '/tests passed/,$p' "$base-asan/short.log"

echo "== gcc: all tests"
configure "$base" -DCMAKE_C_COMPILER=gcc -DINGOT_SANITIZE=OFF -DCMAKE_BUILD_TYPE=RelWithDebInfo
ninja -C "$base"
exec ctest --test-dir "$base" -j2 --output-on-failure
