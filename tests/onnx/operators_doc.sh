#!/bin/sh
# docs/operators.md says what the sources and the tests say. To write it anew: build/ingot-operators-doc . build/onnx-backend/node
set -u
archive=$(ls "$SHARED"/conformance/onnx-*-backend-data.tar.xz 2>/dev/null | tail -n 1)
[ -n "$archive" ] || { echo "skipped: no ONNX backend tests here"; exit 77; }
dir=$BUILD_DIR/onnx-backend
[ -d "$dir/node" ] || { mkdir -p "$dir.part" && tar -C "$dir.part" -xJf "$archive" && mv "$dir.part" "$dir"; } || exit 1
exec "$BUILD_DIR/ingot-operators-doc" --check "$SOURCE_DIR" "$dir/node"
