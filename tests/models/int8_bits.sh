#!/bin/sh
# The same bits from every kind of 8-bit product: VNNI, 16-bit pairs of several widths, and under qemu AArch64 without and with its dot products.
set -u
[ -d "$SHARED/models/int8-kws-qdq" ] || { echo "skipped: no shared models here"; exit 77; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failures=0

# compare MODEL NAME RUNNER OPTION...: outputs, of the inputs that a run makes up, against those of the first that ran
compare() {
    model=$1 name=$2 runner=$3
    shift 3
    dir=$SHARED/models/$model
    "$INGOT" compile "$dir/model.onnx" -o "$work/m.so" "$@" >/dev/null || { failures=$((failures + 1)); return; }
    mkdir -p "$work/$model/$name"
    if ! $runner run "$work/m.so" --output "$work/$model/$name" >"$work/said" 2>&1; then
        grep -q "this CPU lacks" "$work/said" && { echo "skipped $name: $(cat "$work/said")"; return; }
        cat "$work/said"; failures=$((failures + 1)); return
    fi
    for f in "$work/$model/$name"/*; do
        first=$work/$model/first-$(basename "$f")
        [ -f "$first" ] || cp "$f" "$first"
        cmp -s "$f" "$first" || { echo "FAIL: $model on $name: $(basename "$f") differs"; failures=$((failures + 1)); }
    done
}

arm=
if command -v qemu-aarch64-static >/dev/null && command -v aarch64-linux-gnu-gcc >/dev/null; then
    build=$BUILD_DIR/arm64
    cmake -S "$SOURCE_DIR" -B "$build" -G Ninja -DINGOT_RUNTIME_ONLY=ON -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
      -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc -DCMAKE_BUILD_TYPE=Release >/dev/null && ninja -C "$build" ingot-run >/dev/null || exit 1
    arm="qemu-aarch64-static $build/ingot-run"
fi
for model in int8-kws-qdq int8-kws-qoperator int8-mnist-dynamic int8-mobilenet-v2-qdq; do
    compare $model host "$INGOT_RUN"
    case $(uname -m) in
        x86_64) for cpu in x86-64-v3 alderlake x86-64-v4; do compare $model $cpu "$INGOT_RUN" --cpu $cpu; done ;;
    esac
    [ -n "$arm" ] || continue
    for cpu in generic cortex-a76 neoverse-n2; do compare $model arm-$cpu "$arm" --target aarch64 --cpu $cpu; done
done
echo "$failures differences"
[ $failures = 0 ]
