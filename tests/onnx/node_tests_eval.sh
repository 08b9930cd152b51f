#!/bin/sh
# The same through the evaluator.
EVAL=--eval RATCHET=node_evaluator.ratchet exec sh "$SOURCE_DIR/tests/onnx/node_tests.sh"
