# sequence.sh -- sequences and optionals at run time: in from a folder of items, around a loop, out as a folder of items; compiled and evaluated alike.
. "$SOURCE_DIR/tests/cli/expect.shlib"
cd "$work" || exit 1

# the sums of prefixes of x, one item each, behind what was there; and all items in one row
cat >prefixes.irt <<'END'
symbol i data
symbol n data
graph typed {
  %0 = input() : f32[N] "x"
  %1 = input() {index=1} : seq<f32[-1]> "before"
  %2 = from_dims() {dims=[N], scalar=true}
  %3 = constant() {value=bool[] [true]}
  %4 = loop(%3, %2, %1, %0) {body=graph {
    %5 = input() : i64[]
    %6 = input() {index=1} : seq<f32[-1]>
    %7 = input() {index=2} : f32[N]
    bind(%5) {syms=[i]}
    %8 = slice(%7) {starts=[0], sizes=[i], steps=[1]}
    %9 = seq_insert(%6, %8)
    %10 = constant() {value=bool[] [true]}
    return(%10, %9)
  }, states=1}
  %11 = seq_concat_shape(%4) {rank=1}
  bind(%11) {syms=[n]}
  %12 = seq_concat(%4) {shape=[n]}
  return(%4, %12) {names=["items","row"]}
}
END
cat >seven.irt <<'END'
graph typed {
  %0 = input() : f32[7] "x"
  return(%0) {names=["0"]}
}
END
expect 0 "" "$INGOT" run seven.irt --output before
expect 0 "" "$INGOT" compile prefixes.irt -o prefixes.so
expect 0 "items: sequence of 20" "$INGOT_RUN" run prefixes.so --dim N=20
expect 0 "items: sequence of 21" "$INGOT_RUN" run prefixes.so --dim N=20 --input before=before
expect 0 "items/20: f32[19]" "$INGOT_RUN" run prefixes.so --dim N=20 --input before=before
expect 0 "row: f32[197]" "$INGOT_RUN" run prefixes.so --dim N=20 --input before=before
expect 0 "" "$INGOT_RUN" run prefixes.so --input x=before/0.npy --input before=before --output compiled
expect 0 "" "$INGOT" run prefixes.irt --eval --input x=before/0.npy --input before=before --output evaluated
diff -r compiled evaluated || complain "compiled code and the evaluator differ"
expect 0 "before: seq<f32[-1]>" "$INGOT_RUN" inspect prefixes.so
expect 1 "nowhere: No such file" "$INGOT_RUN" run prefixes.so --input before=nowhere
expect 1 "(seq_concat_shape): the shapes of the operands do not fit each other" "$INGOT_RUN" run prefixes.so --dim N=0
finish
