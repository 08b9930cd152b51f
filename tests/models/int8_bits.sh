#!/bin/sh
# The same bits from every kind of 8-bit product: VNNI, 16-bit pairs of several widths, and under qemu AArch64 without and with its dot products. Files that
# arrive quantised, on numbers that a run makes up; and networks that are quantised here, end to end, on 48 pictures of the test sets.
set -u
[ -d "$SHARED/models/int8-kws-qdq" ] || { echo "skipped: no shared models here"; exit 77; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failures=0

# compare NAME CPU RUNNER OPTION...: outputs of $work/NAME.onnx on $given (arguments of the run) against those of the first CPU that ran
compare() {
    name=$1 cpu=$2 runner=$3
    shift 3
    "$INGOT" compile "$work/$name.onnx" -o "$work/m.so" "$@" >/dev/null || { failures=$((failures + 1)); return; }
    mkdir -p "$work/$name/$cpu"
    if ! $runner run "$work/m.so" $given --output "$work/$name/$cpu" >"$work/said" 2>&1; then
        grep -q "this CPU lacks" "$work/said" && { echo "skipped $cpu: $(cat "$work/said")"; return; }
        cat "$work/said"; failures=$((failures + 1)); return
    fi
    for f in "$work/$name/$cpu"/*; do
        first=$work/$name/first-$(basename "$f")
        [ -f "$first" ] || cp "$f" "$first"
        cmp -s "$f" "$first" || { echo "FAIL: $name on $cpu: $(basename "$f") differs"; failures=$((failures + 1)); }
    done
}

# everywhere NAME: VNNI of 512 and of 256 bits, AVX2, AVX-512 without VNNI, SSE; AArch64 plain, with sdot, with i8mm
everywhere() {
    compare $1 host "$INGOT_RUN" --cpu native
    case $(uname -m) in
        x86_64) for cpu in icelake-server alderlake x86-64-v3 x86-64-v4 x86-64; do compare $1 $cpu "$INGOT_RUN" --cpu $cpu; done ;;
    esac
    [ -n "$arm" ] || return
    for cpu in generic cortex-a76 neoverse-n2; do compare $1 arm-$cpu "$arm" --target aarch64 --cpu $cpu; done
}

arm=
if command -v qemu-aarch64-static >/dev/null && command -v aarch64-linux-gnu-gcc >/dev/null; then
    build=$BUILD_DIR/arm64
    cmake -S "$SOURCE_DIR" -B "$build" -G Ninja -DINGOT_RUNTIME_ONLY=ON -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
      -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc -DCMAKE_BUILD_TYPE=Release >/dev/null && ninja -C "$build" ingot-run >/dev/null || exit 1
    arm="qemu-aarch64-static $build/ingot-run"
else
    echo "not on AArch64: no qemu-aarch64-static or aarch64-linux-gnu-gcc"
fi

given=
for model in int8-kws-qdq int8-kws-qoperator int8-mnist-dynamic int8-mobilenet-v2-qdq; do
    ln -s "$SHARED/models/$model/model.onnx" "$work/$model.onnx"
    everywhere $model
done

# quantised MODEL INPUT SET MEAN STD: calibrated on 500 training samples (static), and by itself (dynamic)
quantised() {
    images=$SHARED/data/$3
    node "$SOURCE_DIR/tests/models/images_f32.mjs" "$images-test-images-u8.npy" 48 "$work/x.npy" $4 $5 || exit 1
    "$INGOT" quantize -q "$SHARED/models/$1/model.onnx" -o "$work/$1-static.onnx" --calibrate "$images-train-images-u8.npy" --scale 1/255 \
        ${4:+--mean $4 --std $5} || exit 1
    "$INGOT" quantize -q "$SHARED/models/$1/model.onnx" -o "$work/$1-dynamic.onnx" --dynamic || exit 1
    given="--input $2=$work/x.npy"
    everywhere $1-static
    everywhere $1-dynamic
}
if command -v node >/dev/null && [ -f "$SHARED/data/cifar10-test-images-u8.npy" ]; then
    quantised mnist-mlp image mnist "" ""
    quantised mnist-cnn-bn image mnist "" ""
    quantised cifar-resnet20-bn input cifar10 .4914,.4822,.4465 .247,.2435,.2616
else
    echo "no networks quantised: no node or no shared data here"
fi
echo "$failures differences"
[ $failures = 0 ]
