# prune.sh -- ingot prune on the digits' network: half of its channels go, what is left is what masking them gives, and runs; and what is refused.
. "$SOURCE_DIR/tests/cli/expect.shlib"
. "$SOURCE_DIR/tests/cli/digits.shlib"
{ pixels five; pixels two; } | npy '(2, 1, 28, 28)' '|u1' >x.npy
printf '\005\002' | npy '(2,)' '|u1' >y.npy

prune() { "$INGOT" prune "$onnx" -q "$@"; }
expect 0 "16 of 32 channels stay" "$INGOT" prune "$onnx" -o half.onnx --sparsity 0.5 --json r.json --picture p.dot
expect 0 "#ffa0a0" cat p.dot
expect 0 '"prune"' grep '"command":' r.json
expect 0 "" prune -o half.so --sparsity 0.5
expect 0 "" "$INGOT" compile half.onnx -o again.so
expect 0 "" "$INGOT_RUN" run half.so --output one
expect 0 "" "$INGOT_RUN" run again.so --output two
expect 0 "" prune -o masked.so --sparsity 0.5 --mask
expect 0 "" "$INGOT_RUN" run masked.so --output three
expect 0 "" prune -o mended.so --sparsity 0.25 --calibrate x.npy --scale 1/255 --importance reconstruction
expect 0 "2 of 2" "$INGOT_RUN" eval mended.so --data x.npy --labels y.npy --scale 1/255
expect 0 "" prune -o m.irt --macs 0.6 --scope global --importance l2 --steps 2
expect 0 "" prune -o b.irt --bytes 0.6 --importance fpgm

# zeros instead of fewer channels
expect 0 "stays dense: its sums run over 1 inputs" "$INGOT" prune "$onnx" -o z.onnx --pattern 2:4 --json z.json --picture z.dot
expect 0 "50.00 % zeros" cat z.json
expect 0 "#ffa0a0" cat z.dot
expect 0 "" prune -o z.so --pattern unstructured --sparsity 0.6 --calibrate x.npy --scale 1/255
expect 0 "2 of 2" "$INGOT_RUN" eval z.so --data x.npy --labels y.npy --scale 1/255
expect 2 "must be unstructured or N:M" prune -o bad.onnx --pattern 4:2
expect 2 "needs --sparsity" prune -o bad.onnx --pattern unstructured
expect 2 "takes no --sparsity" prune -o bad.onnx --pattern 2:4 --sparsity 0.5
expect 2 "save neither" prune -o bad.onnx --pattern unstructured --macs 0.5
expect 2 "ranks weights" prune -o bad.onnx --pattern 2:4 --importance fpgm
expect 2 "within each layer" prune -o bad.onnx --pattern unstructured --sparsity 0.5 --scope global --calibrate x.npy
expect 2 "are about channels" prune -o bad.onnx --pattern 2:4 --unit heads

# the same through compile, with and without quantisation
compile() { "$INGOT" compile "$onnx" "$@"; }
expect 0 "" compile -o c.so --sparsity 0.5
expect 0 "" cmp half.so c.so
expect 0 "" prune -o p.onnx --sparsity 0.5 --calibrate x.npy --scale 1/255
expect 0 "" "$INGOT" compile p.onnx -o p.so
expect 0 "" compile -o c.so --sparsity 0.5 --calibrate x.npy --scale 1/255 --no-quantize --json j.json
expect 0 '"prune"' grep '"command":' j.json
expect 0 "2 of 2" "$INGOT_RUN" eval c.so --data x.npy --labels y.npy --scale 1/255
expect 0 "" compile -o q.so --sparsity 0.5 --calibrate x.npy --scale 1/255
expect 0 "2 of 2" "$INGOT_RUN" eval q.so --data x.npy --labels y.npy --scale 1/255
expect 1 "" cmp c.so q.so
expect 2 "is missing" compile -o bad.so --importance l2
expect 2 "not several" compile -o bad.so --macs 0.5 --sparsity 0.5

# time: of a machine that is not here by a model; narrower is cheaper
expect 0 "modelled for the target" "$INGOT" prune "$onnx" -o l.onnx --latency 0.6 --target aarch64
expect 1 "nobody knows the target's clock" prune -o bad.onnx --latency 2ms --target aarch64
expect 1 "modelled cycles cannot be met" prune -o bad.onnx --latency 0.001 --modelled
expect 1 "there are no residual blocks" prune -o bad.onnx --unit blocks --sparsity 0.5
expect 2 "ranks whole branches" prune -o bad.onnx --unit blocks --sparsity 0.5 --importance fpgm

expect 1 "cannot be met" prune -o bad.onnx --macs 1e-9
expect 2 "something has to stay" prune -o bad.onnx --sparsity 1
expect 2 "is missing" prune -o bad.onnx
expect 2 "not several" prune -o bad.onnx --macs 0.5 --sparsity 0.5
expect 2 "must be a number" prune -o bad.onnx --macs half
expect 2 "must be one of" prune -o bad.onnx --sparsity 0.5 --importance size
expect 2 "needs --calibrate" prune -o bad.onnx --sparsity 0.5 --importance activation
expect 2 "ends in none of" prune -o bad.exe --sparsity 0.5
expect 1 "no node or tensor named 'nobody'" prune -o bad.onnx --sparsity 0.5 --keep nobody
expect 1 "there are no attention heads" prune -o bad.onnx --sparsity 0.5 --unit heads

# least squares: what two of eight channels say is all there is, through a transposed convolution; and a linear block goes into its neighbours
{ printf '\001\007\016\025\034\043\052\061\070\006\015\024\033\042\051\060'; printf '\067\005\014\023\032\041\050\057\066\004\013\022\031\040\047\056'; } | npy '(2, 1, 4, 4)' '|u1' >u.npy
cat >up.irt <<'END'
module "m"

graph typed {
  %0 = input() : f32[1,1,4,4] "x"
  %1 = constant() {value=f32[8,1,1,1] [1,2,1,0.5,2,1,1.5,1]} : f32[8,1,1,1]
  %2 = conv(%0, %1) {strides=[1,1], dilations=[1,1], pads=[0,0,0,0], group=1} : f32[1,8,4,4]
  %3 = relu(%2) : f32[1,8,4,4]
  %4 = constant() {value=f32[8,1,2,2] [1,2,3,4,-1,2,-3,1,2,2,1,1,5,-4,3,2,1,2,2,1,4,3,2,1,1,1,2,-1,3,1,1,2]} : f32[8,1,2,2]
  %5 = conv_transpose(%3, %4) {strides=[2,2], dilations=[1,1], pads=[0,0,0,0], output_padding=[0,0], group=1} : f32[1,1,8,8]
  return(%5) {names=["r"]}
}
END
cat >block.irt <<'END'
module "m"

graph typed {
  %0 = input() : f32[1,1,4,4] "x"
  %1 = constant() {value=f32[2,1,1,1] [1,2]} : f32[2,1,1,1]
  %2 = conv(%0, %1) {strides=[1,1], dilations=[1,1], pads=[0,0,0,0], group=1} : f32[1,2,4,4]
  %3 = relu(%2) : f32[1,2,4,4]
  %4 = constant() {value=f32[2,2,1,1] [1,2,3,1]} : f32[2,2,1,1]
  %5 = conv(%3, %4) {strides=[1,1], dilations=[1,1], pads=[0,0,0,0], group=1} : f32[1,2,4,4]
  %6 = add(%3, %5) : f32[1,2,4,4]
  %7 = relu(%6) : f32[1,2,4,4]
  %8 = constant() {value=f32[1,2,1,1] [1,-2]} : f32[1,2,1,1]
  %9 = conv(%7, %8) {strides=[1,1], dilations=[1,1], pads=[0,0,0,0], group=1} : f32[1,1,4,4]
  return(%9) {names=["r"]}
}
END
# decibels LEAST MOST ARGUMENTS...: how far the pruned results lie from the original's
decibels() {
    least=$1 most=$2
    shift 2
    expect 0 "" "$INGOT" prune "$@" --calibrate u.npy -q --json d.json
    tr -d '\n\t' <d.json | sed -n 's/.*"after":[^}]*"sqnr_db":\([^,]*\),.*/\1/p' | awk -v a="$least" -v b="$most" '{ n++; ok = $1 >= a && $1 <= b } END { exit !(n == 1 && ok) }' ||
        complain "not from $least to $most dB: $*"
}
decibels 0 20 up.irt -o d.irt --sparsity 0.5 --round 1 --repair none
decibels 50 200 up.irt -o d.irt --sparsity 0.5 --round 1
decibels 0 20 block.irt -o d.irt --unit blocks --sparsity 0.9 --repair none
decibels 50 200 block.irt -o d.irt --unit blocks --sparsity 0.9

cat >none.irt <<'END'
module "m"

graph typed {
  %0 = input() : f32[4] "x"
  %1 = relu(%0) : f32[4]
  return(%1) {names=["r"]}
}
END
expect 1 "nothing can be pruned" "$INGOT" prune none.irt -o bad.onnx --sparsity 0.5
absent bad.onnx
finish
