# quantize.sh -- ingot quantize on the digits' network: two pictures to calibrate on, the right answers afterwards; and what is refused.
. "$SOURCE_DIR/tests/cli/expect.shlib"
. "$SOURCE_DIR/tests/cli/digits.shlib"
{ pixels five; pixels two; } | npy '(2, 1, 28, 28)' '|u1' >x.npy
printf '\005\002' | npy '(2,)' '|u1' >y.npy
pixels five | npy '(1, 784, 1)' '|u1' >flat.npy
head -c 784 /dev/zero | npy '(1, 1, 28, 28)' '|u1' >zero.npy
printf '' | npy '(0, 1, 28, 28)' '|u1' >none.npy
head -c 3136 /dev/zero | tr '\000' '\377' | npy '(1, 1, 28, 28)' '<f4' >nan.npy
printf '\005\002' | npy '(2,)' '|u1' >wrong.npy
mkdir empty
tab=$(printf '\t')

for method in minmax average percentile mse; do
    expect 0 "" "$INGOT" quantize -q "$onnx" -o m.so --calibrate x.npy --scale 1/255 --method $method
    expect 0 "top-1 100.00 % (2 of 2)" "$INGOT_RUN" eval m.so --data x.npy --labels y.npy --scale 1/255
done
expect 0 "" "$INGOT" quantize -q "$onnx" -o p.so --calibrate x.npy --scale 1/255 --per-tensor --samples 1
expect 0 "top-1 100.00 % (2 of 2)" "$INGOT_RUN" eval p.so --data x.npy --labels y.npy --scale 1/255

expect 0 "" "$INGOT" compile "$onnx" -o c.so --calibrate x.npy --scale 1/255
expect 0 "same" sh -c 'cmp c.so m.so && echo same'
expect 2 "--calibrate DATA or --weights KIND is missing" "$INGOT" quantize "$onnx" -o bad.so

expect 0 "top-1 %                          100.00         100.00" "$INGOT" quantize "$onnx" -o q.onnx --calibrate x.npy --labels y.npy --scale 1/255 --json r.json --picture r.svg
expect 0 "\"top1\":${tab}100" cat r.json
expect 0 "</svg>" cat r.svg
expect 0 "top-1 100.00 % (2 of 2)" "$INGOT" eval q.onnx --data x.npy --labels y.npy --scale 1/255
expect 0 "0 of 4 layers stay f32" "$INGOT" quantize "$onnx" -o b.so --calibrate x.npy --labels y.npy --scale 1/255 --max-drop 0
expect 2 "--max-drop needs --labels" "$INGOT" quantize "$onnx" -o bad.so --calibrate x.npy --max-drop 1
expect 2 "--min-sqnr needs a number" "$INGOT" quantize "$onnx" -o bad.so --calibrate x.npy --min-sqnr good

# weights only
for kind in int4 nf4 q4_k; do
    expect 0 "weights as $kind" "$INGOT" quantize "$onnx" --weights $kind -o w.so
    expect 0 "top-1 100.00 % (2 of 2)" "$INGOT_RUN" eval w.so --data x.npy --labels y.npy --scale 1/255
    expect 0 "" "$INGOT" quantize -q "$onnx" --weights $kind -o w.onnx
    expect 0 "top-1 100.00 % (2 of 2)" "$INGOT" eval w.onnx --data x.npy --labels y.npy --scale 1/255
done
# their report: without samples bytes and the weights' error, with samples the results
expect 0 "int4, groups of 32" "$INGOT" quantize "$onnx" --weights int4 -o w.so --json w.json --picture w.svg
expect 0 "\"decision\":$tab\"f32: filters of one channel\"" cat w.json
expect 0 "\"bits\":${tab}4.5" cat w.json
expect 0 "bytes of weights: before (grey), after (blue)" cat w.svg
expect 0 "top-1 %                          100.00         100.00" "$INGOT" quantize "$onnx" --weights int4 --gptq -o w.so --calibrate x.npy --labels y.npy --scale 1/255 --json w.json
expect 0 "int4, groups of 32, gptq" grep decision w.json
expect 0 "top-1 %                          100.00         100.00" "$INGOT" quantize "$onnx" --weights nf4 -o w.so --data x.npy --labels y.npy --scale 1/255
expect 0 "f32: --keep" "$INGOT" quantize "$onnx" --weights int4 --keep /f/f.5/BatchNormalization -o w.so
expect 2 "--weights goes with" "$INGOT" quantize "$onnx" --weights int4 --dynamic -o bad.so
expect 2 "--weights goes with" "$INGOT" quantize "$onnx" --weights int4 --min-sqnr 30 --calibrate x.npy -o bad.so
expect 0 "" "$INGOT" compile "$onnx" --weights int4 --group 64 -o w.so
expect 0 "small" sh -c 'test $(wc -c <w.so) -lt 100000 && echo small'
expect 2 "--weights needs one of" "$INGOT" quantize "$onnx" --weights int5 -o bad.so
expect 2 "--group needs a number" "$INGOT" quantize "$onnx" --weights int4 --group some -o bad.so
expect 1 "--keep nobody: there is no layer" "$INGOT" quantize "$onnx" --weights int4 --keep nobody -o bad.so

for kind in --dynamic --float16 --bfloat16 "--weights float8"; do
    expect 0 "" "$INGOT" quantize "$onnx" -o k.onnx $kind
    expect 0 "top-1 100.00 % (2 of 2)" "$INGOT" eval k.onnx --data x.npy --labels y.npy --scale 1/255
done
expect 0 "int8, dynamic" "$INGOT" quantize "$onnx" -o k.onnx --dynamic --calibrate x.npy --scale 1/255
expect 0 "" "$INGOT" quantize -q "$onnx" -o k.onnx --dynamic --picture k.svg --json k.json
expect 0 "</svg>" cat k.svg
expect 2 "exclude each other" "$INGOT" quantize "$onnx" -o bad.so --dynamic --float16
expect 2 "are for static quantisation" "$INGOT" quantize "$onnx" -o bad.so --dynamic --calibrate x.npy --min-sqnr 30

quantize() { "$INGOT" quantize "$onnx" -o bad.so --scale 1/255 "$@"; }
expect 1 "nowhere.npy: No such file" quantize --calibrate nowhere.npy
expect 1 "none.npy: there are no samples" quantize --calibrate none.npy
expect 1 "empty: there are no samples" quantize --calibrate empty
expect 1 "zero.npy is constant" quantize --calibrate zero.npy
expect 1 "is not a finite number" quantize --calibrate nan.npy
expect 1 "do not fit input 'image'" quantize --calibrate wrong.npy
expect 1 "--keep nobody: there is no layer" quantize --calibrate x.npy --keep nobody
absent bad.so
finish
