#!/bin/sh
# The diagram of cifar-resnet20-bn after fusion: 21 convolutions, no BatchNorm left, every ReLU and every shortcut in a cluster with its convolution;
# and docs/images shows what is drawn today.
set -u
model=$SHARED/models/cifar-resnet20-bn/model.onnx
[ -f "$model" ] || { echo "skipped: no shared models here"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cpu="--target x86_64 --cpu x86-64-v3"      # passes decide by the machine
"$INGOT" dump "$model" $cpu --after fuse -o "$dir/fused.dot" && "$INGOT" dump "$model" $cpu --after fuse -o "$dir/fused.svg" || exit 1

# one line per cluster with its operators, and one for what is in none
awk '/subgraph cluster/ { inside = 1; node = 0; ops = "" }
     /^\t*n[0-9]+\t\[/ { node = 1 }
     match($0, /label="[a-z_]+\\n/) { op = substr($0, RSTART + 7, RLENGTH - 9); if (!inside) print "alone " op; else if (node) ops = ops " " op }
     inside && /^\t}/ { print "fused" ops; inside = 0 }' "$dir/fused.dot" | sort | uniq -c | awk '{ $1 = $1; print }' >"$dir/groups"
cat "$dir/groups"
bad=0
expect() { grep -qx "$1" "$dir/groups" || { echo "FAIL: not '$1'"; bad=1; }; }
expect "10 fused conv relu"
expect "9 fused conv add relu"
expect "2 alone conv"
grep -E 'alone (relu|add|sub|div|sqrt)' "$dir/groups" && { echo "FAIL: left unfused"; bad=1; }

texts() { grep -o '<text[^>]*>[^<]*' "$1" | sed 's/<[^>]*>//' | sort; }
texts "$dir/fused.svg" >"$dir/today"
texts "$SOURCE_DIR/docs/images/cifar-resnet20-bn.svg" | diff - "$dir/today" >"$dir/difference" ||
    { echo "FAIL: docs/images/cifar-resnet20-bn.svg is out of date: ingot dump cifar-resnet20-bn.onnx $cpu --after fuse -o it"; head -5 "$dir/difference"; bad=1; }
exit $bad
