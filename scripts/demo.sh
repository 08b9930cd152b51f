#!/bin/sh
# Installs what is missing, builds ingot, casts the shipped digit classifier into a .so, runs it, draws its diagram.
set -eu
cd "$(dirname "$0")/.."
sh scripts/install.sh
build=${BUILD_DIR:-build}
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBUILD_TESTING=OFF >/dev/null
ninja -C "$build" ingot ingot-run
out=$build/demo
mkdir -p "$out"
model=examples/digits/mnist-cnn-bn.onnx
echo
echo "== compile: $model -> $out/mnist_cnn_bn.so"
"$build/ingot" compile "$model" -o "$out/mnist_cnn_bn.so"
ls -l "$out/mnist_cnn_bn.so" | awk '{print $5 " bytes"}'
echo "== the example program: embeds the model, reads a picture, says which digit it is"
INGOT=$build/ingot BUILD_DIR=$build sh examples/digits/build.sh "$out"
"$out/digits" "$out/mnist_cnn_bn.so" examples/digits/*.pgm
"$out/digits_static" examples/digits/*.pgm
echo "== the diagram: $out/mnist_cnn_bn.svg"
"$build/ingot" dump "$model" --after fuse -o "$out/mnist_cnn_bn.svg"
ls -l "$out/mnist_cnn_bn.svg" | awk '{print $5 " bytes"}'
