# verify.sh -- ingot verify: agreement and disagreement of every pair of kinds, the numbers themselves, layers, and sentences for what cannot be compared.
. "$SOURCE_DIR/tests/cli/expect.shlib"
cd "$work" || exit 1

# model NAME FACTOR: y = relu(FACTOR * x + 1), z = x as integers
model() {
    cat >"$1.irt" <<IRT
graph typed {
  %0 = input() : f32[2,4] "x"
  %1 = constant() {value=f32[] [$2]} : f32[] "factor"
  %2 = mul(%0, %1) : f32[2,4] "scaled"
  %3 = constant() {value=f32[] [1]} : f32[]
  %4 = add(%2, %3) : f32[2,4] "shifted"
  %5 = relu(%4) : f32[2,4] "y"
  %6 = cast(%4) {to=i32} : i32[2,4] "z"
  return(%5, %6) {names=["y","z"]}
}
IRT
}
model a 2
model b 2.5
model minus -2
"$INGOT" compile a.irt -o a.so || exit 1
"$INGOT" dump a.irt -o a.onnx || exit 1

for other in a.irt a.so a.onnx; do
    expect 0 "equal" "$INGOT" verify a.irt $other
    expect 0 "100.00 %" "$INGOT" verify $other a.irt
done
expect 1 "differs" "$INGOT" verify a.irt b.irt
expect 1 "differs" "$INGOT" verify a.so minus.irt
expect 0 "" "$INGOT" verify a.irt b.irt --rtol 1
expect 0 "" "$INGOT" verify a.irt b.irt --rtol 0 --atol 1
expect 1 "" "$INGOT" verify a.irt b.irt --rtol 0 --atol 0.1
expect 1 '"agree":false' "$INGOT" verify a.irt b.irt --json
expect 0 '"max_abs":0' "$INGOT" verify a.irt a.so --json

# numbers that are known: x is 1 2 3 4 and 4 3 2 1, so y is 3 5 7 9.. and 3.5 6 8.5 11..; the largest element stays where it is
{ printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }"
  printf '\000\000\200\077\000\000\000\100\000\000\100\100\000\000\200\100\000\000\200\100\000\000\100\100\000\000\000\100\000\000\200\077'; } >x.npy
expect 1 '"name":"y","agree":false,"elements":8,"max_abs":2,"max_rel":0.2222' "$INGOT" verify a.irt b.irt --input x=x.npy --json
expect 1 '"argmax_agreement":1' "$INGOT" verify a.irt b.irt --input x=x.npy --json
expect 1 '"argmax_agreement":0' "$INGOT" verify a.irt minus.irt --input x=x.npy --json

# layer by layer: the first layer that differs is seen
expect 1 "scaled" "$INGOT" verify a.irt b.irt --per-node
expect 0 "shifted" "$INGOT" verify a.irt a.onnx --per-node
expect 1 "--per-node needs two graphs" "$INGOT" verify a.irt a.so --per-node

# what cannot be compared
sed 's/i32/i64/g' a.irt >wide.irt
expect 1 "type i64, expected i32" "$INGOT" verify a.irt wide.irt
sed 's/return(%5, %6) {names=\["y","z"\]}/return(%5) {names=["y"]}/' a.irt >one.irt
expect 1 "one.irt: has 1 outputs, 'a.irt' has 2" "$INGOT" verify a.irt one.irt
sed 's/"y"/"other"/; s/"y"/"other"/' a.irt >renamed.irt
expect 0 "y " "$INGOT" verify a.irt renamed.irt
expect 1 "nowhere.irt" "$INGOT" verify a.irt nowhere.irt
expect 1 "no input" "$INGOT" verify a.irt b.irt --input w=x.npy
expect 2 "--rtol" "$INGOT" verify a.irt b.irt --rtol much
expect 2 "" "$INGOT" verify a.irt
finish
