#!/bin/sh
# What quantisation costs in accuracy on the shared models: 500 training samples to calibrate on, the whole test set to score, drops in percentage points.
set -u
[ -d "$SHARED/models/cifar-resnet20-bn" ] || { echo "skipped: no shared models here"; exit 77; }
data=$SHARED/data
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failures=0
mnist="--scale 1/255"
cifar="--scale 1/255 --mean .4914,.4822,.4465 --std .247,.2435,.2616"
photos="--scale 1/255 --mean .485,.456,.406 --std .229,.224,.225"

# top1 MODEL DATA LABELS FORM...: percent, without the decimal point
top1() {
    model=$1 x=$2 y=$3
    shift 3
    "$INGOT" eval "$model" --data "$x" --labels "$y" "$@" --json | sed -n 's/.*"top1": \([0-9]*\)\.\([0-9][0-9]\).*/\1\2/p'
}

# drop NAME MOST TRAIN TEST LABELS FORM -- OPTION...: most hundredths of a point that top-1 may lose
drop() {
    name=$1 most=$2 train=$3 test=$4 labels=$5 form=$6
    shift 6
    model=$SHARED/models/$name/model.onnx
    before=$(top1 "$model" "$test" "$labels" $form)
    [ -z "$train" ] || set -- --calibrate "$train" $form "$@"
    "$INGOT" quantize -q "$model" -o "$work/q.onnx" "$@" || { failures=$((failures + 1)); return; }
    after=$(top1 "$work/q.onnx" "$test" "$labels" $form)
    echo "$name $*: $before -> ${after:-nothing} (hundredths of a percent)"
    [ -n "$after" ] && [ $((before - after)) -le "$most" ] || { echo "FAIL: more than $most"; failures=$((failures + 1)); }
}

for name in mnist-mlp mnist-cnn-bn mnist-vit; do
    drop $name 20 "$data/mnist-train-images-u8.npy" "$data/mnist-test-images-u8.npy" "$data/mnist-test-labels-u8.npy" "$mnist"
done
drop cifar-resnet20-bn 30 "$data/cifar10-train-images-u8.npy" "$data/cifar10-test-images-u8.npy" "$data/cifar10-test-labels-u8.npy" "$cifar"

for name in mnist-mlp mnist-vit; do
    drop $name 20 "" "$data/mnist-test-images-u8.npy" "$data/mnist-test-labels-u8.npy" "$mnist" --dynamic
done

# The photos are 80: 16 to calibrate on, the rest to score.
header() { printf '\223NUMPY\001\000v\000'; printf "%-117s\n" "{'descr': '$1', 'fortran_order': False, 'shape': $2, }"; }
image=$((3 * 224 * 224))
{ header '|u1' '(64, 3, 224, 224)'; tail -c $((64 * image)) "$data/imagenet-images-u8.npy"; } >"$work/x.npy"
{ header '<i8' '(64,)'; tail -c 512 "$data/imagenet-labels-i64.npy"; } >"$work/y.npy"
drop imagenet-mobilenet-v2 250 "$data/imagenet-images-u8.npy" "$work/x.npy" "$work/y.npy" "$photos" --samples 16
exit $((failures > 0))
