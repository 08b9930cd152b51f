#!/bin/sh
# Products of bf16 on the shared models: the same class as f32 for at least 79 of 80 photos, nearly the same scores from AVX-512 BF16 and from f32 arithmetic, the same
# bits from one thread and from two, about half of the bytes; the .onnx that says it compiles to the same; f16 weights take half of the bytes too.
set -u
[ -d "$SHARED/models/imagenet-mobilenet-v2" ] || { echo "skipped: no shared models here"; exit 77; }
data=$SHARED/data
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failures=0
fail() { echo "FAIL: $*"; failures=$((failures + 1)); }
bytes() { wc -c <"$1"; }

model=$SHARED/models/imagenet-mobilenet-v2/model.onnx
"$INGOT" quantize "$model" -o "$work/b.onnx" --bfloat16 --calibrate "$data/imagenet-images-u8.npy" --scale 1/255 --mean .485,.456,.406 --std .229,.224,.225 >"$work/report" || exit 1
same=$(sed -n 's/.*same largest score in \([0-9]*\) of 80 samples.*/\1/p' "$work/report")
echo "same class for ${same:-no} of 80 photos"
[ -n "$same" ] && [ "$same" -ge 79 ] || fail "less than 79"

"$INGOT" compile "$model" -o "$work/f.so" && "$INGOT" compile "$work/b.onnx" -o "$work/b.so" && "$INGOT" compile "$model" --float16 -o "$work/h.so" || exit 1
for kind in b h; do
    echo "$kind.so: $(bytes "$work/$kind.so") bytes, f32: $(bytes "$work/f.so")"
    [ $((100 * $(bytes "$work/$kind.so"))) -le $((54 * $(bytes "$work/f.so"))) ] || fail "more than 54 % of f32"
done

for threads in 1 2; do
    mkdir "$work/$threads" && "$INGOT_RUN" run "$work/b.so" --threads $threads --output "$work/$threads" >/dev/null || fail "run with $threads threads"
done
for f in "$work/1"/*; do cmp "$f" "$work/2/$(basename "$f")" || fail "threads give other bits"; done

# Other CPUs add in another order: bf16 between layers rounds the other way now and then.
case $(uname -m) in
    x86_64)
        for cpu in x86-64-v3 x86-64; do
            "$INGOT" compile "$work/b.onnx" -o "$work/other.so" --cpu $cpu && "$INGOT" verify "$work/b.so" "$work/other.so" --rtol 3e-2 || fail $cpu
        done ;;
esac
exit $((failures > 0))
