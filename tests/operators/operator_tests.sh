#!/bin/sh
# Operators that the official tests leave out, ai.onnx.ml and com.microsoft above all, against what ONNX Runtime computed (make_cases.mjs): through
# compiled code and through the evaluator.
set -u
"$INGOT" test "$SOURCE_DIR/tests/operators/data" --jobs 2 --timeout 300 && "$INGOT" test "$SOURCE_DIR/tests/operators/data" --eval --jobs 2 --timeout 300
