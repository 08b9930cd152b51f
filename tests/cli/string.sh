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
