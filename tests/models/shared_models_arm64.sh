#!/bin/sh
# The same for aarch64, under qemu, with a static ingot-run. No cross compiler is called for the models.
set -u
[ -f "$SHARED/tools/check_models.mjs" ] || { echo "skipped: no shared models here"; exit 77; }
command -v qemu-aarch64-static >/dev/null && command -v aarch64-linux-gnu-gcc >/dev/null || { echo "skipped: no qemu-aarch64-static or aarch64-linux-gnu-gcc"; exit 77; }
build=$BUILD_DIR/arm64
cmake -S "$SOURCE_DIR" -B "$build" -G Ninja -DINGOT_RUNTIME_ONLY=ON -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc -DCMAKE_BUILD_TYPE=Release >/dev/null && ninja -C "$build" ingot-run >/dev/null || exit 1
TARGET=aarch64-linux-gnu RUNNER="qemu-aarch64-static $build/ingot-run" exec sh "$SOURCE_DIR/tests/models/shared_models.sh"
