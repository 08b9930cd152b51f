# string.sh -- tensors of strings: read and written as JSON, moved like any other, compiled and evaluated alike; the file of a compiled model has their bytes.
. "$SOURCE_DIR/tests/cli/expect.shlib"
cd "$work" || exit 1

sed -n '/^--- in/,/^--- after/p' "$SOURCE_DIR/tests/irt/roundtrip_string.irt" | grep -v '^---' >text.irt
cat >x.json <<'END'
{"dims": [5], "data": ["a,b,,c", "z", "", "a \"b\"", "ünïcödé,ЖЗИ"]}
END
expect 0 "" "$INGOT" compile text.irt -o text.so
expect 0 "" "$INGOT_RUN" run text.so --input x=x.json --output compiled
expect 0 "" "$INGOT" run text.irt --eval --input x=x.json --output evaluated
diff -r compiled evaluated || complain "compiled code and the evaluator differ"
grep -q 'ÜNÏCÖDÉ,ЖЗИ' compiled/both.json || complain "letters did not change their case"
expect 0 "x: str[N]" "$INGOT_RUN" inspect text.so
expect 0 "pieces: str[3,1]" "$INGOT_RUN" run text.so --dim N=3
cat >none.json <<'END'
{"dims": [0], "data": []}
END
expect 0 "kept: str[1]" "$INGOT_RUN" run text.so --input x=none.json
expect 1 "text.irt" "$INGOT_RUN" run text.so --input x=text.irt

# the convenient function of the header has nothing to allocate with: not where strings come out or are made
cat >made.irt <<'END'
module "made"
graph typed {
  %0 = input() : f32[2] "x"
  %1 = str_format(%0) : str[2]
  return(%1) {names=["y"]}
}
END
cat >compared.irt <<'END'
module "compared"
graph typed {
  %0 = input() : str[2] "x"
  %1 = str_eq(%0, %0) : bool[2]
  return(%1) {names=["y"]}
}
END
for model in made compared; do
    expect 0 "" "$INGOT" compile $model.irt -o $model.o --header $model.h
    printf '#include "%s.h"\nint main(void) { return %s_ingot_model.n_inputs != 1; }\n' $model $model >main.c
    expect 0 "" ${CC:-cc} -std=c99 -Wall -Wextra -Werror main.c $model.o -o main
    expect 0 "" ./main
done
grep -q made_run_typed made.h && complain "a function that cannot allocate gives strings"
grep -q compared_run_typed compared.h || complain "no function for strings that only come in"

# text that is no number is refused in the same words
cat >number.irt <<'END'
graph typed {
  %0 = input() : str[N] "x"
  %1 = str_parse(%0) {to=f32} : f32[N]
  return(%1) {names=["y"]}
}
END
expect 0 "" "$INGOT" compile number.irt -o number.so
echo '{"dims": [2], "data": ["1.5", "1e999"]}' >large.json
for how in "$INGOT run number.irt --eval" "$INGOT_RUN run number.so"; do
    expect 1 "str_parse" $how --input x=x.json
    expect 1 "a string is no number, or one too large for its type" $how --input x=large.json
done
finish
