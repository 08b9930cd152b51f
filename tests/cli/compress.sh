# compress.sh -- ingot compress on the digits' network: pruned, repaired, quantised, each step measured; and what is refused.
. "$SOURCE_DIR/tests/cli/expect.shlib"
. "$SOURCE_DIR/tests/cli/digits.shlib"
{ pixels five; pixels two; } | npy '(2, 1, 28, 28)' '|u1' >x.npy
printf '\005\002' | npy '(2,)' '|u1' >y.npy

compress() { "$INGOT" compress "$onnx" --calibrate x.npy --scale 1/255 "$@"; }
expect 0 "quantised" compress -o m.so --sparsity 0.25 --labels y.npy --json r.json
expect 0 "2 of 2" "$INGOT_RUN" eval m.so --data x.npy --labels y.npy --scale 1/255
expect 0 '"compress"' grep '"command":' r.json
expect 0 '"quantised":' cat r.json
expect 0 "weights of 4 bits" compress -o m4.so --bytes 100000 --json r4.json --picture r4.svg
expect 0 ">quantised<" cat r4.svg
expect 0 "tried nothing pruned, weights of 4 bits: top-1" compress -o md.so --macs 0.5 --max-drop 50 --labels y.npy
expect 0 "repaired" compress -o m.onnx --bytes 0.6 --no-quantize

expect 2 "--calibrate DATA is missing" "$INGOT" compress "$onnx" -o bad.so
expect 2 "-o OUT is missing" compress
expect 0 "quantised" compress -o m.so --bytes 0.9 --importance l2
expect 2 "is missing" compress -o bad.so --importance l2
expect 2 "there is nothing to do" compress -o bad.so --no-quantize
expect 2 "not several" compress -o bad.so --macs 0.5 --bytes 0.5
head -c 1568 /dev/zero | npy '(2, 1, 28, 28)' '|u1' >zero.npy
expect 1 "is constant" "$INGOT" compress "$onnx" --calibrate zero.npy -o bad.so --bytes 10000
expect 1 "cannot be met" compress -o bad.so --bytes 1e-9 --weight-bits 4
absent bad.so
finish
