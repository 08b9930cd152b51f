# eval.sh -- accuracy of a classifier: two digits out of their pictures, right and wrong labels, a fixed batch, and what is refused.
. "$SOURCE_DIR/tests/cli/expect.shlib"
. "$SOURCE_DIR/tests/cli/digits.shlib"
{ pixels five; pixels two; pixels five; } | npy '(3, 1, 28, 28)' >x.npy
# x.npy by numpy.savez_compressed
base64 -d >x.npz <<'END'
UEsDBBQAAAAIAAAAIQBuQvHDgQEAALAJAAAJABQAYXJyXzAubnB5AQAQALAJAAAAAAAAgQEAAAAAAACb7BfqGxDJyFDGUK2eklqcXKRupaBeU2qorqOgnpZfVFKUmBefX5SSChJ3S8wpTgWKF2ckFq
QC+RrGOgqGOgpGFiCsqaNQq0Ay4GKgNTD9/BKX1OSn/57jkDJ69O9fL3Ypk0///skwYZWSe/zvVzsbdm21//514bAs8ve/R3o45OL+/XvhqaAgi0MOBD63CGDKOW68fR4se9ALi04tOV/fW88///uV
w4LDXocl//6p4ZBjMH7+bx0uOQbnfwdwyoXjlrP59GgiutBiPw4QCNmDGXRQvwPBjwB0OUHXZxCpD3FYLDJPSUn5+CHFE6cjhwzY5I5b7j7uCKKN3HqcUvwvcOtT/4FbzuBfIx65eJxyDc9xliosK/
bh1KbwbxpOOd9/mljFHWvnzz/xXgxTgnXa638f31//9+86Zt7s/hFsz8GQ8CHnF6bfK/6YMDDE/z/PcGEvhhzXpTv9e/5sEGLo/yeJIam349/FqawMDLJuOD0xCrCB0foBi87R+mGw1g8AUEsBAhQD
FAAAAAgAAAAhAG5C8cOBAQAAsAkAAAkAAAAAAAAAAAAAAIABAAAAAGFycl8wLm5weVBLBQYAAAAAAQABADcAAAC8AQAAAAA=
END
head -c 400 x.npz >cut.npz
printf '\005\002\005' | npy '(3,)' >right.npy
printf '\005\002\011' | npy '(3,)' >wrong.npy
printf '\005\002\012' | npy '(3,)' >beyond.npy
printf '\005\002' | npy '(2,)' >short.npy
printf '' | npy '(0, 1, 28, 28)' >none.npy

expect 0 "top-1 100.00 % (3 of 3), top-5 100.00 %" "$INGOT" eval "$onnx" --data x.npy --labels right.npy --scale 1/255
expect 0 "top-1 66.67 % (2 of 3)" "$INGOT" eval "$onnx" --data x.npy --labels wrong.npy --scale 1/255 --mean 0 --std 1
expect 0 "top-1 100.00 % (3 of 3), top-5 100.00 %" "$INGOT" eval "$onnx" --data x.npz --labels right.npy --scale 1/255
expect 1 "cut.npz: not a .npz file that can be read" "$INGOT" eval "$onnx" --data cut.npz --labels right.npy
expect 0 "" "$INGOT" compile "$onnx" -o m.so
expect 0 '{"samples": 3, "top1": 66.6667' "$INGOT_RUN" eval m.so --data x.npy --labels wrong.npy --scale 0.00392157 --json
expect 0 "" "$INGOT" compile "$onnx" --dim N=2 -o pair.so
expect 0 "top-1 100.00 % (3 of 3)" "$INGOT_RUN" eval pair.so --data x.npy --labels right.npy --scale 1/255

expect 1 "--data is needed" "$INGOT_RUN" eval m.so --labels right.npy
expect 1 "short.npy has 2 labels for the 3 samples of x.npy" "$INGOT_RUN" eval m.so --data x.npy --labels short.npy
expect 1 "beyond.npy: label 10 of sample 2, the model has 10 classes" "$INGOT_RUN" eval m.so --data x.npy --labels beyond.npy
expect 1 "none.npy: there are no samples" "$INGOT_RUN" eval m.so --data none.npy --labels right.npy
expect 1 "do not fit input 'image'" "$INGOT_RUN" eval m.so --data right.npy --labels right.npy
expect 1 "--mean has 2 numbers, the data 1 channels" "$INGOT_RUN" eval m.so --data x.npy --labels right.npy --mean 1,2
expect 1 "not of the form NUMBER" "$INGOT_RUN" eval m.so --data x.npy --labels right.npy --scale 1/x
expect 1 "--std: 0 says nothing" "$INGOT_RUN" eval m.so --data x.npy --labels right.npy --std 0
expect 1 "nowhere.npy: No such file" "$INGOT_RUN" eval m.so --data nowhere.npy --labels right.npy
finish
