# map.sh -- maps: ZipMap, DictVectorizer and CastMap, written and read as JSON, compiled and evaluated alike.
. "$SOURCE_DIR/tests/cli/expect.shlib"
cd "$work" || exit 1
"$BUILD_DIR/bad_models" || exit 1

# both MODEL [--input ...]: runs the model in both ways; what compiled code wrote is in compiled/
both() {
    model=$1
    shift
    rm -rf compiled evaluated
    expect 0 "" "$INGOT" compile $model.onnx -o $model.so
    expect 0 "" "$INGOT_RUN" run $model.so --output compiled "$@"
    expect 0 "" "$INGOT" run $model.onnx --eval --output evaluated "$@"
    diff -r compiled evaluated || complain "$model: compiled code and the evaluator differ"
}

# written FILE TEXT
written() {
    [ "$(cat "$1")" = "$2" ] || complain "$1 is $(cat "$1"), not $2"
}

both zip --dim N=2
expect 0 "y: sequence of 2" "$INGOT_RUN" run zip.so --dim N=2
expect 0 "y: seq<map<str,f32[]>>" "$INGOT_RUN" inspect zip.so
grep -q '^{"cat": -\{0,1\}[0-9.e-]*, "a \\"dog\\"": [0-9.e-]*, "emu": [0-9.e-]*}$' compiled/y/0.json || complain "map is $(cat compiled/y/0.json)"
[ -f compiled/y/1.json ] || complain "the second row's map is missing"

cat >pets.json <<'END'
{ "emu": 2.5, "gnu": 7, "cat": "NaN",
  "a \"dog\"": -1e-3 }
END
echo '{}' >none.json
both dict --input x=pets.json
expect 0 "y: f32[1,3] nan -0.001 2.5" "$INGOT_RUN" run dict.so --input x=pets.json
expect 0 "y: f32[1,3] 0 0 0" "$INGOT_RUN" run dict.so --input x=none.json
expect 1 "no.json: cannot be read" "$INGOT_RUN" run dict.so --input x=no.json
echo '{"emu" 2}' >wrong.json
expect 1 "wrong.json: not a map" "$INGOT_RUN" run dict.so --input x=wrong.json

echo '{"7": "1.5", "-2": "3", "4": " -1e2"}' >texts.json
both cast_dense --input x=texts.json
expect 0 "y: f32[1,3] 3 -100 1.5" "$INGOT_RUN" run cast_dense.so --input x=texts.json
echo '{"3": 0.25, "0": 1e10, "9": 1}' >numbers.json
both cast_sparse --input x=numbers.json
written compiled/y.json '{"dims": [1, 4], "data": ["1e+10", "", "", "0.25"]}'
both cast_sparse --input x=none.json
written compiled/y.json '{"dims": [1, 4], "data": ["", "", "", ""]}'
finish
