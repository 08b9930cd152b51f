# dump.sh -- ingot dump: pictures in every format, textual IR that reads back, and nothing left behind when writing fails.
. "$SOURCE_DIR/tests/cli/expect.shlib"
onnx=$SOURCE_DIR/examples/digits/mnist-cnn-bn.onnx
cd "$work" || exit 1
export ASAN_OPTIONS=detect_leaks=0          # Graphviz and fontconfig keep memory of their own

begins_with() {
    head -c 300 "$1" | grep -aqF -- "$2" || complain "$1 does not begin with $2"
}

expect 0 "" "$INGOT" dump "$onnx" -o m.dot
begins_with m.dot "digraph"
expect 0 "" "$INGOT" dump "$onnx" -o m.svg
begins_with m.svg "<svg"
grep -q 'f32\[N,1,28,28\]' m.svg || complain "the picture has no type"
expect 0 "" "$INGOT" dump "$onnx" -o m.png
begins_with m.png "PNG"
expect 0 "" "$INGOT" dump "$onnx" -o m.pdf
begins_with m.pdf "%PDF"

# fused groups are clusters, planned values say where they live, constants are in the labels of their users
expect 0 "" "$INGOT" dump "$onnx" --after plan -o plan.dot
grep -q "subgraph cluster_" plan.dot || complain "no cluster for a fused group"
grep -q "@arena+" plan.dot || complain "no place in a label"
grep -q "f32\[32,1,3,3\]" plan.dot || complain "no weight in the label of its user"
"$INGOT" dump "$onnx" --after plan -o again.dot
cmp plan.dot again.dot || complain "two dumps differ"

# textual IR, with its constants beside it, is a model like any other
expect 0 "" "$INGOT" dump "$onnx" -o m.irt
[ -s m.irt.blob ] || complain "no constants beside m.irt"
expect 0 "" "$INGOT" dump m.irt -o again.irt
cmp m.irt again.irt || complain "the text of the text differs"
cmp m.irt.blob again.irt.blob || complain "the constants of the text differ"
rm again.irt.blob
expect 1 "lies outside the 0 bytes of the constants' file" "$INGOT" dump again.irt -o third.irt
absent third.irt third.irt.blob

# a graph of 5000 nodes is drawn in seconds
awk 'BEGIN { print "graph {\n %0 = input() : f32[4]"; for (i = 1; i < 5000; i++) printf " %%%d = add(%%%d, %%%d)\n", i, i - 1, i % 7 ? 0 : int(i / 2);
             print " return(%4999)\n}" }' >big.irt
expect 0 "" timeout 120 "$INGOT" dump big.irt -o big.svg
begins_with big.svg "<svg"

expect 2 "ends in none of .onnx .dot .svg .png .pdf .irt" "$INGOT" dump "$onnx" -o m.jpeg
expect 1 "nowhere/m.svg: cannot be written: No such file or directory" "$INGOT" dump "$onnx" -o nowhere/m.svg
for format in dot svg irt; do
    ln -s /dev/full "full.$format"
    expect 1 "full.$format: cannot be written: No space left on device" "$INGOT" dump "$onnx" -o "full.$format"
    mkdir "taken.$format"
    expect 1 "taken.$format: cannot be written" "$INGOT" dump "$onnx" -o "taken.$format"
done
absent ./*.tmp*
finish
