#!/bin/sh
# The official ONNX backend tests, and the project's own operator tests, read, written again as ONNX, and run by the evaluator. export.ratchet lists the official
# tests whose model cannot be written; one more or one less fails. So does a written model that computes something else.
set -u
archive=$(ls "$SHARED"/conformance/onnx-*-backend-data.tar.xz 2>/dev/null | tail -n 1)
[ -n "$archive" ] || { echo "skipped: no ONNX backend tests here"; exit 77; }
dir=$BUILD_DIR/onnx-backend
[ -d "$dir/node" ] || { mkdir -p "$dir.part" && tar -C "$dir.part" -xJf "$archive" && mv "$dir.part" "$dir"; } || exit 1
out=$BUILD_DIR/onnx-exported
rm -rf "$out" && mkdir -p "$out" || exit 1
"$BUILD_DIR/reexport" "$out/operators" "$SOURCE_DIR"/tests/operators/data/* || exit 1
"$BUILD_DIR/reexport" "$out/node" "$dir"/node/* >"$out/said" || exit 1
cat "$out/said"
sed -n 's/^\([^: ]*\): .*/\1/p' "$out/said" | sort >"$out/unwritten"
[ "${BLESS:-0}" = 0 ] || { echo "# Tests whose model cannot be written as ONNX; BLESS=1 writes this list."; cat "$out/unwritten"; } >"$SOURCE_DIR/tests/onnx/export.ratchet"
grep -v '^#' "$SOURCE_DIR/tests/onnx/export.ratchet" | diff - "$out/unwritten" || { echo "export.ratchet lists other tests ('<') than could not be written ('>')"; exit 1; }
"$INGOT" test "$out/node" "$out/operators" --eval --jobs 2 --timeout 300
