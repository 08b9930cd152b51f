#!/bin/sh
# The other official groups through compiled code: tests of whole operators as PyTorch exported them, small graphs, and the light models (real
# architectures whose weights are splats, so that they take no memory).
ONNX_GROUPS="simple pytorch-operator pytorch-converted light" RATCHET=other_compiled.ratchet exec sh "$SOURCE_DIR/tests/onnx/node_tests.sh"
