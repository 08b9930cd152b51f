#!/bin/sh
# `ingot compress` under a budget of bytes that is far below the model's: the file's size, as a fraction of the .onnx, and what it costs on the test set. Samples are
# those of the training set; labels are only counted.
set -u
data=$SHARED/data
[ -d "$data" ] || { echo "no shared data in $SHARED: skipped"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# compressed PARTS LIMIT MODEL SET FORM OPTIONS...: at most 1/PARTS of the .onnx, at most LIMIT percentage points lost
compressed() {
    parts=$1 limit=$2 model=$SHARED/models/$3/model.onnx name=$3 set=$4 form=$5
    shift 5
    "$INGOT" compress "$model" -o "$work/m.so" --calibrate "$data/$set-train-images-u8.npy" $form --data "$data/$set-test-images-u8.npy" \
        --labels "$data/$set-test-labels-u8.npy" "$@" >"$work/said" 2>&1
    cat "$work/said"
    before=$(wc -c <"$model") after=$(wc -c <"$work/m.so")
    echo "$name: $before to $after bytes"
    awk -v parts="$parts" -v before="$before" -v after="$after" 'BEGIN { exit !(after > 0 && parts * after <= before) }' ||
        { failures=$((failures + 1)); echo "FAIL: more than 1/$parts"; }
    awk -v limit="$limit" '$1 == "original" { was = $(NF - 1) } $1 == "quantised" { is = $(NF - 1) } END { exit !(is > 0 && was - is <= limit) }' "$work/said" ||
        { failures=$((failures + 1)); echo "FAIL: more than $limit lost"; }
}

compressed 9 1 mnist-mlp mnist "--scale 1/255" --bytes 0.08
compressed 5 3 cifar-resnet20-bn cifar10 "--scale 1/255 --mean 0.4914,0.4822,0.4465 --std 0.2470,0.2435,0.2616" --bytes 0.18 --dim N=1
echo "$failures failures"
[ "$failures" = 0 ]
