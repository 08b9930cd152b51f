# usage.sh -- wrong usage of ingot and ingot-run: exit status 2, one sentence with a hint, nothing written.
. "$SOURCE_DIR/tests/cli/expect.shlib"

expect 2 "usage: ingot" "$INGOT"
expect 0 "usage: ingot" "$INGOT" --help
expect 0 "ingot 0." "$INGOT" --version
expect 2 "did you mean 'compile'?" "$INGOT" comple
expect 2 "unknown command 'xyz'" "$INGOT" xyz
for command in compile quantize run bench eval verify profile inspect dump test targets; do
    expect 0 "usage: ingot $command" "$INGOT" $command --help
    expect 2 "unknown option '--no-such-thing'" "$INGOT" $command --no-such-thing x
    expect 2 "ingot $command --help" "$INGOT" $command --no-such-thing x
done
expect 0 "x86_64" "$INGOT" targets
expect 2 "one argument too many" "$INGOT" targets x

expect 2 "is missing" "$INGOT" compile
expect 2 "-o OUT is missing" "$INGOT" compile a.onnx
expect 2 "one argument too many" "$INGOT" compile a.onnx b.onnx -o x.so
expect 2 "ends in none of" "$INGOT" compile a.onnx -o x.exe
expect 2 "-o OUT is missing" "$INGOT" quantize a.onnx
expect 2 "--method needs one of" "$INGOT" quantize a.onnx -o x.so --method best
expect 2 "--percentile needs a number" "$INGOT" quantize a.onnx -o x.so --percentile 30
expect 2 "-O needs 0, 1, 2 or 3" "$INGOT" compile -O9 a.onnx -o x.so
expect 2 "'--output' needs a value" "$INGOT" compile a.onnx --output
expect 2 "there is no pass 'foo'" "$INGOT" compile a.onnx -o x.so --passes fold,foo
expect 2 "there is no pass 'foo'" "$INGOT" compile a.onnx -o x.so --stop-after foo
expect 0 "-O2: " "$INGOT" compile a.onnx --passes help
expect 2 "needs a number, not 'x'" "$INGOT" run a.so --threads x
expect 2 "needs a number, not '-1'" "$INGOT" run a.so --threads=-1
expect 2 "did you mean '--threads'?" "$INGOT" bench a.so --thredas 2
expect 2 "--eval needs an .onnx" "$INGOT" run a.so --eval
expect 2 "ends in none of" "$INGOT" dump a.onnx -o x.gif
expect 2 "--bless needs --ratchet" "$INGOT" test . --bless
absent x.so x.exe x.gif b.onnx

expect 2 "usage: ingot-run" "$INGOT_RUN"
expect 0 "usage: ingot-run" "$INGOT_RUN" --help
expect 0 "ingot-run 0." "$INGOT_RUN" --version
expect 2 "unknown command" "$INGOT_RUN" compile
for command in run bench eval inspect; do
    expect 0 "usage: ingot-run $command" "$INGOT_RUN" $command --help
    expect 2 "is missing" "$INGOT_RUN" $command
    expect 2 "unknown option" "$INGOT_RUN" $command --frobnicate x.so
    expect 1 "No such file" "$INGOT_RUN" $command nowhere.so
done
finish
