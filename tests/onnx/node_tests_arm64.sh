#!/bin/sh
# The node tests compiled for AArch64 and run by a static ingot-run under qemu, a process per test and data set: some minutes.
set -u
command -v qemu-aarch64-static >/dev/null && command -v aarch64-linux-gnu-gcc >/dev/null || { echo "skipped: no qemu-aarch64-static or aarch64-linux-gnu-gcc"; exit 77; }
build=$BUILD_DIR/arm64
cmake -S "$SOURCE_DIR" -B "$build" -G Ninja -DINGOT_RUNTIME_ONLY=ON -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc -DCMAKE_BUILD_TYPE=Release >/dev/null && ninja -C "$build" ingot-run >/dev/null || exit 1
RATCHET=node_arm64.ratchet TARGET=aarch64-linux-gnu RUNNER="qemu-aarch64-static $build/ingot-run" exec sh "$SOURCE_DIR/tests/onnx/node_tests.sh"
