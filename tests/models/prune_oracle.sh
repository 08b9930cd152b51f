#!/bin/sh
# Half of the channels and heads of whole networks removed, against the originals with those channels' contributions masked.
# INGOT_ZOO names a folder of further .onnx files.
set -u
[ -d "$SHARED/models" ] || { echo "no shared models in $SHARED: skipped"; exit 77; }
set --
for name in cifar-resnet20-bn mnist-vit mnist-mlp mnist-cnn-bn face-ultraface-320 ocr-ppv4-det detect-yolox-nano imagenet-mobilenet-v2 seg-bodypix text-gpt2-char; do
    [ -f "$SHARED/models/$name/model.onnx" ] && set -- "$@" "$SHARED/models/$name/model.onnx"
done
[ -n "${INGOT_ZOO:-}" ] && set -- "$@" "$INGOT_ZOO"/*.onnx
"$BUILD_DIR/prune_oracle" "$@"
