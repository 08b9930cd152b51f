#!/bin/sh
# What pruning with repair on unlabelled samples costs, in percentage points of the test set: no more than the limits here.
set -u
data=$SHARED/data
[ -d "$data" ] || { echo "no shared data in $SHARED: skipped"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# lost LIMIT MODEL OPTIONS...: the report's third number of top-1 is at least -LIMIT
lost() {
    limit=$1 model=$2
    shift 2
    case $model in
    cifar*) set="cifar10" form="--scale 1/255 --mean 0.4914,0.4822,0.4465 --std 0.2470,0.2435,0.2616" ;;
    *) set="mnist" form="--scale 1/255" ;;
    esac
    "$INGOT" prune "$SHARED/models/$model/model.onnx" -o "$work/m.so" --calibrate "$data/$set-train-images-u8.npy" $form \
        --data "$data/$set-test-images-u8.npy" --labels "$data/$set-test-labels-u8.npy" "$@" >"$work/said" 2>&1 || cat "$work/said"
    line=$(grep '^top-1' "$work/said")
    echo "$model $*: $line"
    echo "$line" | awk -v limit="$limit" '{ exit !(NF == 5 && $5 >= -limit) }' || { failures=$((failures + 1)); echo "FAIL: more than $limit lost"; }
}

lost 0.5 mnist-mlp --sparsity 0.5 --importance reconstruction
lost 1.5 mnist-cnn-bn --sparsity 0.5 --importance fpgm
lost 1.5 mnist-vit --unit heads --sparsity 0.25 --importance l2
lost 1.6 cifar-resnet20-bn --macs 0.75
lost 6.5 cifar-resnet20-bn --macs 0.5
lost 1.0 cifar-resnet20-bn --pattern 2:4 --importance l1
lost 1.6 cifar-resnet20-bn --unit blocks --sparsity 0.15
echo "$failures failures"
[ "$failures" = 0 ]
