# bad_input.sh -- whatever is wrong with a file or an input, it is exit status 1 with one sentence that names it, and no file is left behind.
. "$SOURCE_DIR/tests/cli/expect.shlib"
cd "$work" || exit 1
mkdir models tmp && cd models && "$BUILD_DIR/bad_models" && cd .. || exit 1
printf '\001\002\003\004\005\006\007\010\011\012\013\014' >outside.bin
export TMPDIR=$work/tmp

# refused MODEL TEXT [MORE TEXT...]: compile, run, inspect and dump say "error: ..." with every TEXT, in one line
refused() {
    model=models/$1
    shift
    for how in "compile $model -o out.so --header out.h" "compile $model -o out.o" "run $model --output outdir" "run $model --eval" "dump $model -o out.dot" "inspect $model"; do
        expect 1 "error: " "$INGOT" $how
        for text in "$@"; do
            grep -qF -- "$text" "$work/said" || complain "no '$text': ingot $how"
        done
        [ "$(grep -c . "$work/said")" = 1 ] || complain "not one line: ingot $how"
    done
}
refused empty.onnx "empty.onnx" "the file is empty"
refused text.onnx "text.onnx"
refused truncated.onnx "truncated.onnx"
refused . "models/."
refused nowhere.onnx "nowhere.onnx" "No such file"
refused old.onnx "version 0 of the operator set"
refused future.onnx "version 1000 of the operator set"
refused cycle.onnx "cycle"
refused dangling.onnx "node 'n'" "nowhere"
refused short_weight.onnx "'w'"
refused missing_data.onnx "'w'" "not-there.bin"
refused escaping_data.onnx "'w'" "outside the model's folder"
refused absolute_data.onnx "'w'" "outside the model's folder"

# gaps are listed all at once: one sentence an operator, with its nodes
expect 1 "operator Frobnicate of 'ai.onnx' is not supported (nodes 'first', 'third')" "$INGOT" compile models/gaps.onnx -o out.so
expect 1 "operator Quux of 'ai.onnx' is not supported (node 'second')" "$INGOT" compile models/gaps.onnx -o out.so
[ "$(grep -c . "$work/said")" = 2 ] || complain "two gaps are not two lines"

# every prefix of a good model is refused or, where it ends with a whole field, still a model; none crashes
size=$(wc -c <models/good.onnx)
for n in $(seq 0 7 "$size"); do
    head -c "$n" models/good.onnx >cut.onnx
    "$INGOT" inspect cut.onnx >"$work/said" 2>&1
    [ $? -le 1 ] || complain "the first $n bytes of a model crash inspect"
done

# output that cannot be written
expect 1 "no-folder" "$INGOT" compile models/good.onnx -o no-folder/out.so
expect 1 "no-folder" "$INGOT" compile models/good.onnx -o out.so --header no-folder/out.h
expect 1 "no-folder" "$INGOT" dump models/good.onnx -o no-folder/out.svg
mkdir folder.so
expect 1 "folder.so" "$INGOT" compile models/good.onnx -o folder.so
for out in out.so out.o out.a out.ll; do
    expect 1 "error: " sh -c "trap '' XFSZ; ulimit -f 1; exec '$INGOT' compile '$SOURCE_DIR/examples/digits/mnist-cnn-bn.onnx' -o $out"
done
# what was there before stays
echo before >kept.so
expect 1 "" "$INGOT" compile models/text.onnx -o kept.so
grep -q '^before$' kept.so || complain "a failed compilation destroys the file that was there"
absent out.so out.o out.a out.ll out.h out.dot outdir no-folder
[ -z "$(ls tmp)" ] || complain "temporary files are left: $(ls tmp)"
[ "$(ls | tr '\n' ' ')" = "cut.onnx folder.so kept.so models outside.bin said tmp " ] || complain "more files than before: $(ls | tr '\n' ' ')"

# ---- at run time: through the .so and its loader, the .onnx, and the evaluator ----

# npy NAME DESCR SHAPE BYTES
npy() { { printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '$2', 'fortran_order': False, 'shape': $3, }"; head -c "$4" /dev/zero; } >"$1.npy"; }
npy good '<f4' '(2, 3)' 24
npy double '<f8' '(2, 3)' 48
npy wide '<f4' '(2, 4)' 32
npy flat '<f4' '(6,)' 24
npy short '<f4' '(2, 3)' 20
npy negative '<f4' '(-2, 3)' 24
npy huge '<f4' '(4611686018427387904, 3)' 24
npy objects '|O' '(2, 3)' 48
npy none '<f4' '(0, 3)' 0
expect 0 "" "$INGOT" compile models/good.onnx -o good.so
ways() {
    expect "$1" "$2" "$INGOT_RUN" run good.so $3
    expect "$1" "$2" "$INGOT" run models/good.onnx $3
    expect "$1" "$2" "$INGOT" run models/good.onnx --eval $3
}
ways 0 "y: f32[2,3] 1 2 3 1 2 3" "--input x=good.npy"
ways 0 "y: f32[0,3]" "--input x=none.npy"
ways 1 "no input 'z'" "--input z=good.npy"
ways 1 "'x'" "--input x=double.npy"
ways 1 "'x'" "--input x=wide.npy"
ways 1 "'x'" "--input x=flat.npy"
ways 1 "short.npy" "--input x=short.npy"
ways 1 "negative.npy" "--input x=negative.npy"
ways 1 "huge.npy" "--input x=huge.npy"
ways 1 "objects.npy" "--input x=objects.npy"
ways 1 "nowhere.npy" "--input x=nowhere.npy"
ways 1 "models/good.onnx" "--input x=models/good.onnx"
ways 1 "models" "--input x=models"
ways 1 "NAME=FILE" "--input x"
ways 1 "'x'" "--dim N=5 --input x=good.npy"
ways 2 "unknown option" "--nonsense"

# sizes that agree for some inputs only: the product of x and x needs N = 3
expect 0 "" "$INGOT" compile models/shapes.onnx -o shapes.so
expect 0 "y: f32[3,3]" "$INGOT_RUN" run shapes.so --dim N=3
for run in "$INGOT_RUN run shapes.so" "$INGOT run models/shapes.onnx" "$INGOT run models/shapes.onnx --eval"; do
    expect 1 "node 'mm': matmul" $run --dim N=2
    expect 1 "node 'mm': matmul" $run --input x=good.npy
done

# an index that only the run shows to be wrong
i64() { { printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }"; printf "$2"; } >"$1.npy"; }
i64 inside '\003\000\000\000\000\000\000\000\377\377\377\377\377\377\377\377'
i64 beyond '\003\000\000\000\000\000\000\000\004\000\000\000\000\000\000\000'
i64 far '\003\000\000\000\000\000\000\000\000\000\000\000\000\000\000\100'
expect 0 "" "$INGOT" compile models/gather.onnx -o gather.so
for run in "$INGOT_RUN run gather.so" "$INGOT run models/gather.onnx" "$INGOT run models/gather.onnx --eval"; do
    expect 0 "y: f32[2,3]" $run --input i=inside.npy
    expect 1 "index" $run --input i=beyond.npy
    expect 1 "index" $run --input i=far.npy
done
finish
