# profile.sh -- ingot profile: every launch is listed and timed, sizes follow the input, what is refused.
. "$SOURCE_DIR/tests/cli/expect.shlib"
onnx=$SOURCE_DIR/examples/digits/mnist-cnn-bn.onnx
cd "$work" || exit 1
export TMPDIR=$work/tmp
mkdir tmp

expect 0 "1 thread) in " "$INGOT" profile "$onnx" --runs 3
expect 0 "bound" "$INGOT" profile "$onnx" --runs 3
expect 0 "conv+" "$INGOT" profile "$onnx" --runs 3 --top 0
expect 0 "more rows (--top 0 shows all)" "$INGOT" profile "$onnx" --runs 3 --top 1
expect 0 '"threads":2' "$INGOT" profile "$onnx" --runs 3 --threads 2 --json
expect 1 "nowhere.onnx" "$INGOT" profile nowhere.onnx
expect 1 "has no input 'x'" "$INGOT" profile "$onnx" --input x=y.npy
expect 2 "at most 1024" "$INGOT" profile "$onnx" --threads 2000
[ -z "$(ls tmp)" ] || complain "left in the temporary folder: $(ls tmp)"

# what a member says in all rows, added up
sum() {
    tr '{,' '\n\n' | sed -n "s/.*\"$1\":\([0-9.e+-]*\).*/\1/p" | awk '{ s += $1 } END { printf "%.0f\n", s }'
}
"$INGOT" profile "$onnx" --runs 3 --json >one.json
"$INGOT" profile "$onnx" --runs 3 --json --nodes --dim N=4 >four.json
launches=$(sed 's/.*"launches":\([0-9]*\).*/\1/' one.json)
[ "$(sum calls <one.json)" = "$launches" ] || complain "calls do not add up to $launches launches"
[ "$(grep -o '"kernel":' four.json | wc -l)" = "$(sum calls <four.json)" ] || complain "--nodes: not one row per launch"
# the first number is the whole model's, then come the rows; arithmetic is that of a batch of 4
a=$(sum flops <one.json) b=$(sum flops <four.json)
[ "$((4 * a))" = "$b" ] || complain "a batch of 4 takes $b operations, one image $a"

# an irregular operator, a branch and a size that only the data decides
cat >odd.irt <<'END'
module "odd"
symbol N
symbol n0 data bound 4*N

graph typed {
  %0 = input() : f32[N,4] "x"
  %1 = softmax(%0) {axis=1} : f32[N,4]
  %2 = nonzero(%1) {count=[n0]} : i64[2,n0] "y"
  return(%2) {names=["y"]}
}
END
expect 0 "odd.irt: " "$INGOT" profile odd.irt --runs 3

# a loop's body is called as often as it runs
cat >loop.irt <<'END'
module "loop"

graph typed {
  %0 = input() : f32[8] "x"
  %1 = constant() {value=i64[] [5]} : i64[]
  %2 = constant() {value=bool[] [true]} : bool[]
  %3 = loop(%2, %1, %0) {body=graph {
    %4 = input() : i64[]
    %5 = input() {index=1} : f32[8]
    %6 = exp(%5) : f32[8]
    %7 = constant() {value=bool[] [true]} : bool[]
    return(%7, %6)
  }, states=1, sizes=[], at=[]} : f32[8]
  return(%3) {names=["y"]}
}
END
expect 0 '"calls":5' "$INGOT" profile loop.irt --runs 3 --json
finish
