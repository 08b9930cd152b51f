#!/bin/sh
# The official ONNX backend tests (the node group, unless ONNX_GROUPS says others) through compiled code. Known failures are listed in a ratchet file: an unexpected pass fails too.
set -u
archive=$(ls "$SHARED"/conformance/onnx-*-backend-data.tar.xz 2>/dev/null | tail -n 1)
[ -n "$archive" ] || { echo "skipped: no ONNX backend tests here"; exit 77; }
dir=$BUILD_DIR/onnx-backend
[ -d "$dir/node" ] || { mkdir -p "$dir.part" && tar -C "$dir.part" -xJf "$archive" && mv "$dir.part" "$dir"; } || exit 1
cd "$dir" || exit 1
exec "$INGOT" test ${ONNX_GROUPS:-node} ${EVAL:-} --jobs 2 --timeout 300 --ratchet "$SOURCE_DIR/tests/onnx/${RATCHET:-node_compiled.ratchet}"
