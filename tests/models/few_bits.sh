#!/bin/sh
# Weights of 4, 3 and 2 bits in groups of 32, chosen with data, on the shared models: accuracy lost, and every layer closer to its original than rounding to
# nearest leaves it. Calibrated on 500 training samples, measured on the whole test set.
set -u
[ -d "$SHARED/models" ] && [ -d "$SHARED/data" ] || { echo "skipped: no shared models or data here"; exit 77; }
command -v node >/dev/null || { echo "skipped: no node here"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
data=$SHARED/data bad=0
complain() { echo "FAIL: $*"; bad=$((bad + 1)); }

# quantised MODEL KIND METHOD...: $dir/q.so; its score goes to $score: top-1 in percent, or the loss
quantised() {
    model=$1 kind=$2
    shift 2
    onnx=$SHARED/models/$model/model.onnx
    "$INGOT" quantize "$onnx" --weights "$kind" --group 32 -o "$dir/q.so" $calibrate "$@" >"$dir/said" 2>&1 || complain "$model $kind $*: $(cat "$dir/said")"
    case "$*" in
    *awq* | *gptq*) if grep "no better" "$dir/said"; then complain "$model $kind $*: a layer is no better than rounded to nearest"; fi ;;
    esac
    score=$("$INGOT" eval "$dir/q.so" $measure --json | sed "s/.*\"$what\": \([0-9.]*\).*/\1/")
    echo "$model $kind $*: $score"
}
# is EXPRESSION: whether it is true, in awk
is() { awk "BEGIN { exit !($1) }"; }

what=top1
for model in mnist-mlp mnist-vit cifar-resnet20-bn; do
    case $model in
    mnist*) set=mnist form="--scale 1/255" ;;
    *) set=cifar10 form="--scale 1/255 --mean .4914,.4822,.4465 --std .247,.2435,.2616" ;;
    esac
    calibrate="--calibrate $data/$set-train-images-u8.npy $form"
    measure="--data $data/$set-test-images-u8.npy --labels $data/$set-test-labels-u8.npy $form"
    f32=$("$INGOT" eval "$SHARED/models/$model/model.onnx" $measure --json | sed 's/.*"top1": \([0-9.]*\).*/\1/')
    quantised $model int4 --gptq
    is "$f32 - $score <= 0.3" || complain "$model loses $f32 - $score"
    quantised $model int4 --awq
done
quantised cifar-resnet20-bn int3
nearest=$score
quantised cifar-resnet20-bn int3 --gptq
is "$score > $nearest + 2" || complain "three bits: $score with GPTQ, $nearest without"

what=loss
node "$SOURCE_DIR/bench/text_samples.mjs" "$data/tinyshakespeare.txt" "$data/gpt2-char-vocab.json" "$dir/text" || complain "no text"
calibrate="--calibrate $dir/text-train.npy" measure="--data $dir/text-valid.npy --labels $dir/text-valid-labels.npy"
f32=$("$INGOT" eval "$SHARED/models/text-gpt2-char/model.onnx" $measure --json | sed 's/.*"loss": \([0-9.]*\).*/\1/')
is "$f32 > 1.62 && $f32 < 1.623" || complain "the loss in f32 is $f32"
for method in --gptq --awq; do
    quantised text-gpt2-char int4 $method
    is "$score <= 1.004 * $f32" || complain "the loss goes from $f32 to $score"
done
quantised text-gpt2-char int2
nearest=$score
quantised text-gpt2-char int2 --gptq
is "$score < $nearest - 0.2" || complain "two bits: $score with GPTQ, $nearest without"
echo "$bad failures"
[ "$bad" = 0 ]
