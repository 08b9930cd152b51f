# run_model.sh -- one model through compile, run, bench, inspect and dump: what is written, what is printed, what is refused.
. "$SOURCE_DIR/tests/cli/expect.shlib"
onnx=$SOURCE_DIR/examples/digits/mnist-cnn-bn.onnx
cd "$work" || exit 1
export TMPDIR=$work/tmp
mkdir tmp

expect 0 "" "$INGOT" compile "$onnx" -o m.so
expect 0 "image: f32[N,1,28,28]" "$INGOT_RUN" inspect m.so
expect 0 '"inputs": [{"name": "image", "dtype": "f32", "dims": ["N", 1, 28, 28]}]' "$INGOT_RUN" inspect m.so --json
expect 0 '"outputs": [{"name": "logits", "dtype": "f32", "dims": ["N", 10]}]' "$INGOT" inspect "$onnx" --json

# the same numbers from the .so, the .onnx, the evaluator, one thread and three
expect 0 "" "$INGOT_RUN" run m.so --dim N=3 --output a
expect 0 "" "$INGOT" run m.so --dim N=3 --output b --threads 3
expect 0 "" "$INGOT" run "$onnx" --dim N=3 --output c
cmp a/logits.npy b/logits.npy || complain "threads change the result"
expect 0 "logits: f32[3,10]" "$INGOT" run "$onnx" --dim N=3 --eval
expect 0 "logits: f32[3,10]" "$INGOT_RUN" run m.so --dim N=3
expect 0 "logits: f32[1,10]" "$INGOT_RUN" run m.so

# an output is a valid input file; its shape is not the model's
expect 1 "input 'image' has 2 dimensions, the model expects 4" "$INGOT_RUN" run m.so --input image=a/logits.npy
expect 1 "the model has no input 'img'; its input is image" "$INGOT_RUN" run m.so --input img=a/logits.npy
expect 1 "not of the form NAME=FILE" "$INGOT_RUN" run m.so --input image
expect 1 "nowhere.npy: No such file" "$INGOT_RUN" run m.so --input image=nowhere.npy
expect 1 "not a .npy file" "$INGOT_RUN" run m.so --input image=m.so
head -c 100 a/logits.npy >short.npy
expect 1 "short.npy: truncated" "$INGOT_RUN" run m.so --input image=short.npy
expect 1 "not of the form NAME=NUMBER" "$INGOT_RUN" run m.so --dim N=x
expect 0 "warning: the model has no symbolic dimension 'M'" "$INGOT_RUN" run m.so --dim M=2
expect 1 "out of memory" "$INGOT_RUN" run m.so --dim N=4000000000000000
expect 1 "cannot be made" "$INGOT_RUN" run m.so --output /nonexistent/folder
head -c 3000 m.so >cut.so
expect 1 "cut.so: truncated" "$INGOT_RUN" run cut.so
expect 1 "not an ELF file" "$INGOT_RUN" run a/logits.npy

# bench: one line of JSON with six decimals
expect 0 '"model": "m.so"' "$INGOT_RUN" bench m.so --runs 20 --json
for key in threads load_ms first_ms min_ms median_ms p99_ms rss_mb; do
    grep -q "\"$key\": " "$work/said" || complain "no $key in the JSON of bench"
done
grep -qE '"median_ms": [0-9]+\.[0-9]{6}[,}]' "$work/said" || complain "median_ms has not six decimals"
[ "$(wc -l <"$work/said")" = 1 ] || complain "bench --json prints more than a line"
expect 0 '"model": "mnist-cnn-bn.onnx"' "$INGOT" bench "$onnx" --dim N=1 --runs 5 --warmup 1 --json

# a compiled model is known by its contents too; output that does not get out is an error
cp m.so model-without-extension
expect 0 "logits: f32[1,10]" "$INGOT" run model-without-extension
if [ -w /dev/full ]; then
    "$INGOT_RUN" inspect m.so >/dev/full 2>"$work/said" && complain "a full disk goes unnoticed"
    grep -q "standard output: No space left" "$work/said" || complain "no sentence about a full disk"
fi

# dump
expect 0 "conv(" "$INGOT" dump "$onnx"
for kind in dot svg irt; do
    expect 0 "" "$INGOT" dump "$onnx" -o d.$kind
    [ -s d.$kind ] || complain "d.$kind is empty"
done
expect 0 "" "$INGOT" dump "$onnx" --after dce -o e.irt
expect 0 "logits: f32[1,10]" "$INGOT" run d.irt
expect 0 "" "$INGOT" dump "$onnx" -o f.onnx
expect 0 "logits: f32[1,10]" "$INGOT" run f.onnx

# nothing partial: a folder that cannot be written, a model that is none
expect 1 "" "$INGOT" compile "$onnx" -o /nonexistent/m.so
head -c 5000 "$onnx" >broken.onnx
expect 1 "broken.onnx" "$INGOT" compile broken.onnx -o g.so --header g.h
expect 1 "nowhere.onnx" "$INGOT" compile nowhere.onnx -o g.so
expect 1 "no-such-machine" "$INGOT" compile "$onnx" --target no-such-machine -o g.so
expect 1 "do not end with 'plan'" "$INGOT" compile "$onnx" --stop-after fuse -o g.so
absent g.so g.h
[ -z "$(ls tmp)" ] || complain "temporary files are left: $(ls tmp)"
[ -z "$(ls | grep -E 'XXXX|tmp\.|\.so\.')" ] || complain "temporary names are left"
finish
