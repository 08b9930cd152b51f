# bench_scripts.sh -- bench/: the comparison's table, JSON and picture, and the page that report.mjs rewrites (the peer here is ingot itself); the inner loops
# of the ARM kernels, which llvm-mca judges without an ARM machine. No time is tested.
. "$SOURCE_DIR/tests/cli/expect.shlib"
command -v node >/dev/null || exit 77
cd "$work" || exit 1
mkdir -p models/case/inputs
cp "$SOURCE_DIR/examples/digits/mnist-cnn-bn.onnx" models/digits.onnx
cp models/digits.onnx models/case/model.onnx
echo '{"dims": {"N": 2}}' >models/case/check.json
echo nonsense >bad.onnx
bench=$SOURCE_DIR/bench
compare() { node "$bench/compare.mjs" --build "$BUILD_DIR" --peer "$INGOT bench" --rounds 1 --runs 5 "$@"; }

expect 0 "| digits | 1 |" compare models
expect 0 "2 threads: geometric mean of 2 speed ratios" compare --threads 1,2 --output out models
expect 0 "| case | 2 |" cat out/compare.md
node -e '
const r = JSON.parse(require("fs").readFileSync("out/compare.json"));
const ok = r.rows.length === 4 && r.rows.every(x => x.ratio > 0 && x.roof_ms > 0) && r.rows[0].flops === 2 * r.rows[2].flops;   // a batch of 2, then 1
process.exit(ok ? 0 : 1)' || complain "compare.json is not what was measured"
command -v xmllint >/dev/null && { xmllint --noout out/compare.svg || complain "the picture is not XML"; }
[ "$(grep -c '>digits<' out/compare.svg)" = 1 ] || complain "the picture lacks a network"
expect 1 "failed:" compare bad.onnx
expect 1 "no such file" compare nowhere.onnx
expect 2 "unknown option --frobnicate" compare --frobnicate 1 models
expect 1 "npm install onnxruntime-node" node "$bench/compare.mjs" --ort "$work" models

printf 'before\n<!-- begin: written by bench/report.mjs -->\nold\n<!-- end: written by bench/report.mjs -->\nafter\n' >page.md
report() { node "$bench/report.mjs" --build "$BUILD_DIR" --peer "$INGOT bench" --rounds 1 --runs 5 --docs page.md --image picture.svg "$@"; }
expect 0 "" report models/digits.onnx
for text in before after "### digits" "of the roofline" "![Bars:" "conv+"; do
    grep -qF -- "$text" page.md || complain "the page lacks '$text'"
done
grep -q '^old$' page.md && complain "the old text is still there"
expect 0 "" report models/digits.onnx
[ "$(grep -c '### digits' page.md)" = 1 ] || complain "a second report adds to the first"
echo nothing >page.md
expect 1 "lacks the lines" report models/digits.onnx

kernels() { node "$bench/kernels.mjs" --build "$BUILD_DIR" "$@"; }
if [ -x "$LLVM_BINDIR/llvm-mca" ]; then
    expect 0 "0 below 90 %" kernels --mca neoverse-n1 --llvm-mca "$LLVM_BINDIR/llvm-mca"
    expect 1 " below 100 %" kernels --mca neoverse-n1 --llvm-mca "$LLVM_BINDIR/llvm-mca" --least 100
fi
expect 0 "native: share of the peak" kernels --cpus native --rounds 1 --least 0
expect 1 "error: " kernels --cpus no-such-cpu
finish
