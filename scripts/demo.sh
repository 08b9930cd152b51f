#!/bin/sh
# Installs what is missing, builds ingot, casts the shipped digit classifier into a .so, runs it, draws its diagram.
set -eu
cd "$(dirname "$0")/.."
sh scripts/install.sh
build=${BUILD_DIR:-build}
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBUILD_TESTING=OFF >/dev/null
echo "== build (about half a minute)"
ninja --quiet -C "$build" ingot ingot-run
build=$(cd "$build" && pwd)
out=$build/demo
mkdir -p "$out"
cp examples/digits/* "$out"
source=$PWD
cd "$out"
echo
echo "== compile: mnist-cnn-bn.onnx -> mnist.so"
"$build/ingot" compile mnist-cnn-bn.onnx -o mnist.so
"$build/ingot-run" inspect mnist.so
ls -l mnist.so | awk '{print "file      " $5 " bytes"}'
echo
echo "== two programs with the model inside: one loads mnist.so, one is linked with it. Each reads two pictures"
make -s "BUILD=$build" "CFLAGS=-std=c11 -O2 -I$source/runtime" all
./digits mnist.so two.pgm five.pgm
./digits_static two.pgm five.pgm
echo
echo "== the diagram"
"$build/ingot" dump mnist-cnn-bn.onnx --after fuse -o mnist.svg
ls -l "$out/mnist.svg" | awk '{print $NF ": " $5 " bytes"}'
