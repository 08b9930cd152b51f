#!/bin/sh
# The official ONNX backend tests (the node group, unless ONNX_GROUPS says others) through compiled code. Known failures are listed in a ratchet file: an unexpected pass fails too.
# So does a test that takes more than 500 MB (MEMORY says another limit), and the node group must be done in 15 minutes (CMakeLists.txt).
set -u
archive=$(ls "$SHARED"/conformance/onnx-*-backend-data.tar.xz 2>/dev/null | tail -n 1)
[ -n "$archive" ] || { echo "skipped: no ONNX backend tests here"; exit 77; }
dir=$BUILD_DIR/onnx-backend
[ -d "$dir/node" ] || { mkdir -p "$dir.part" && tar -C "$dir.part" -xJf "$archive" && mv "$dir.part" "$dir"; } || exit 1
cd "$dir" || exit 1
set -- ${ONNX_GROUPS:-node} ${EVAL:-} --jobs 2 --memory ${MEMORY:-500} --timeout 300 --ratchet "$SOURCE_DIR/tests/onnx/${RATCHET:-node_compiled.ratchet}"
[ -z "${TARGET:-}" ] || set -- "$@" --target "$TARGET" --runner "$RUNNER"
exec "$INGOT" test "$@"
