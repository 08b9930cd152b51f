# export.sh -- ingot dump -o F.onnx: what is written reads back and computes the same bits, at every stage that ONNX can say; nothing is left behind when
# writing fails.
. "$SOURCE_DIR/tests/cli/expect.shlib"
onnx=$SOURCE_DIR/examples/digits/mnist-cnn-bn.onnx
cd "$work" || exit 1

# same STAGE OPTIONS...: the file of that stage gives what the original gives after the same passes
same() {
    stage=$1
    shift
    expect 0 "" "$INGOT" dump "$onnx" "$@" -o "$stage.onnx"
    expect 0 "" "$INGOT" dump "$onnx" "$@" -o "$stage.irt"
    expect 0 "" "$INGOT" run "$stage.irt" --output "$stage.want"
    expect 0 "" "$INGOT" run "$stage.onnx" --output "$stage.got"
    for f in "$stage.want"/*; do
        cmp "$f" "$stage.got/${f##*/}" || complain "$stage: the file computes something else"
    done
}
same imported
same canonical --after rules
expect 0 "conv" "$INGOT" dump canonical.onnx
expect 0 "f32[N,1,28,28]" "$INGOT" inspect canonical.onnx
mkdir again
"$INGOT" dump canonical.onnx -o again/canonical.onnx && cmp canonical.onnx again/canonical.onnx || complain "the file of the file differs"

expect 1 "a graph that is laid out for this machine cannot be written as ONNX" "$INGOT" dump "$onnx" --after layout -o m.onnx
expect 1 "nowhere/m.onnx: cannot be written: No such file or directory" "$INGOT" dump "$onnx" -o nowhere/m.onnx
ln -s /dev/full full.onnx
expect 1 "full.onnx: cannot be written: No space left on device" "$INGOT" dump "$onnx" -o full.onnx
mkdir taken.onnx
expect 1 "taken.onnx: cannot be written" "$INGOT" dump "$onnx" -o taken.onnx
absent m.onnx ./*.tmp*

# what ONNX has no word for is said for every node in one run
cat >gaps.irt <<'IRT'
graph typed {
  %0 = input() : f32[2,3,3] "x"
  %1 = couple_pairs(%0) : f32[2,3]
  %2 = input() {index=1} : i32[4] "n"
  %3 = shr(%2, %2) : i32[4]
  return(%1, %3) {names=["y","z"]}
}
IRT
expect 1 "couple_pairs cannot be written as ONNX" "$INGOT" dump gaps.irt -o gaps.onnx
expect 1 "shr cannot be written as ONNX" "$INGOT" dump gaps.irt -o gaps.onnx
absent gaps.onnx
finish
