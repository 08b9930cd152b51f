#!/bin/sh
# docs/adding-an-operator.md, carried out: each diff in it touches exactly two files, applies to a copy of this tree, and gives an ingot that compiles
# and evaluates a model with the new operator.
set -u
doc=$SOURCE_DIR/docs/adding-an-operator.md
dir=$BUILD_DIR/adding_an_operator
tree=$dir/tree
failures=0
complain() { failures=$((failures + 1)); echo "FAIL: $*"; }

rm -rf "$tree" "$dir"/*.diff && mkdir -p "$tree" || exit 1
for part in "$SOURCE_DIR"/*; do
    case ${part##*/} in build*) ;; *) cp -Rp "$part" "$tree" || exit 1 ;; esac
done
awk -v dir="$dir" '/^```diff$/ { out = dir "/" ++n ".diff"; next } /^```$/ { out = "" } out { print > out }' "$doc"
[ "$(ls "$dir"/*.diff | wc -l)" = 2 ] || complain "the page has not two diffs"
for diff in "$dir"/*.diff; do
    touched=$(grep -c '^+++ ' "$diff")
    [ "$touched" = 2 ] || complain "$diff touches $touched files"
    patch -s -p1 -d "$tree" <"$diff" || complain "$diff does not apply"
done
[ "$failures" = 0 ] || exit 1

launcher=$(command -v ccache) && launcher=-DCMAKE_C_COMPILER_LAUNCHER=$launcher
cmake -S "$tree" -B "$dir/build" -G Ninja -DCMAKE_C_COMPILER="$CC" $launcher -DBUILD_TESTING=OFF -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG=-O0 \
    -DINGOT_WERROR=ON >"$dir/log" 2>&1 && ninja -C "$dir/build" ingot >>"$dir/log" 2>&1 || { tail -n 30 "$dir/log"; exit 1; }
ingot=$dir/build/ingot

# npy FILE BYTES: four little-endian floats, as octal escapes
npy() { { printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }"; printf "$2"; } >"$dir/$1.npy"; }
npy x '\000\000\100\100\000\000\240\100\000\000\000\101\000\000\000\000' # 3 5 8 0
npy y '\000\000\200\300\000\000\100\101\000\000\160\101\000\000\000\300' # -4 12 15 -2

# gives MODEL TEXT OPTIONS...: compiled code and the evaluator both print TEXT
gives() {
    model=$SOURCE_DIR/tests/tree/$1.onnx want=$2
    shift 2
    for way in "" --eval; do
        said=$("$ingot" run "$model" $way "$@" 2>&1)
        [ "$said" = "$want" ] || complain "$model $way: '$said' instead of '$want'"
    done
}
gives hypot "z: f32[4] 5 13 17 2" --input "x=$dir/x.npy" --input "y=$dir/y.npy"
gives snake "z: f32[4] 4.98999 5.71634 9.1455 0" --input "x=$dir/x.npy"
"$INGOT" run "$SOURCE_DIR/tests/tree/hypot.onnx" 2>&1 | grep -qF "$(sed -n 's/^error: hypot.onnx: //p' "$doc")" || complain "this ingot does not refuse Hypot as the page says"

# vectors and the elements left over, 37 of them, to the bit (a CPU without FMA rounds twice where the evaluator rounds once)
models=""
grep -qwE 'fma|asimd' /proc/cpuinfo && models="hypot snake"
for model in $models; do
    compiled=$("$ingot" run "$SOURCE_DIR/tests/tree/$model.onnx" --dim N=37 --output "$dir/$model.compiled" 2>&1) || complain "$compiled"
    evaluated=$("$ingot" run "$SOURCE_DIR/tests/tree/$model.onnx" --dim N=37 --output "$dir/$model.evaluated" --eval 2>&1) || complain "$evaluated"
    [ "$(cksum <"$dir/$model.compiled/z.npy")" = "$(cksum <"$dir/$model.evaluated/z.npy")" ] || complain "$model: compiled code and evaluator differ"
done
echo "$failures failures"
[ "$failures" = 0 ]
