#!/bin/sh
# Models compiled once run at five sizes each as ONNX Runtime does (dims.mjs). ORT_DIR says where node_modules/onnxruntime-node is.
set -u
[ -f "$SHARED/tools/ort.mjs" ] || { echo "skipped: no shared models here"; exit 77; }
command -v node >/dev/null || { echo "skipped: node is not installed"; exit 77; }
[ -d "${ORT_DIR:=$BUILD_DIR/ort}/node_modules/onnxruntime-node" ] || { echo "skipped: no onnxruntime-node; npm install --ignore-scripts --prefix $ORT_DIR onnxruntime-node@1.30.0"; exit 77; }
export SHARED ORT_DIR
exec node "$SOURCE_DIR/tests/models/dims.mjs" --ingot "$INGOT"
