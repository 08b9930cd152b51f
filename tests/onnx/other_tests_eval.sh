#!/bin/sh
# The other groups through the evaluator, which writes out weights that are one number repeated: 848 MB for light_vgg19.
ONNX_GROUPS="simple pytorch-operator pytorch-converted light" EVAL=--eval MEMORY=1000 RATCHET=other_compiled.ratchet exec sh "$SOURCE_DIR/tests/onnx/node_tests.sh"
