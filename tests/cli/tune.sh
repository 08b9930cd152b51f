# tune.sh -- --tune: what it measures is kept in a file and decides from then on, as long as model, options and CPU are the same.
. "$SOURCE_DIR/tests/cli/expect.shlib"
cd "$work" || exit 1
export TMPDIR=$work/tmp XDG_CACHE_HOME=$work/cache
mkdir tmp
cat >conv.irt <<'END'
module "conv"

graph typed {
  %0 = input() : f32[1,32,24,24] "x"
  %1 = constant() {value=f32[32,32,3,3] splat(0.01)} : f32[32,32,3,3]
  %2 = conv(%0, %1) {strides=[1,1], dilations=[1,1], pads=[1,1,1,1], group=1} : f32[1,32,24,24]
  return(%2) {names=["y"]}
}
END

expect 0 "tuned: " "$INGOT" compile conv.irt -o a.so --tune --tune-cache found
grep -q '^algorithm: round 2 of ' said || complain "no second candidate was tried"
head -1 found | grep -q '^ingot .*; cpu .*; options -O2; model ................$' || complain "the file does not say what it belongs to"
expect 0 "" "$INGOT" compile conv.irt -o b.so --tune --tune-cache found
[ -s said ] && complain "what is known was measured again"
cmp a.so b.so || complain "equal decisions give different code"

# a decision is followed: this kernel's name and operators stay, its algorithm does not
key='algorithm conv f32[1,24,24,32] f32[32,32,3,3] 1/1,1/1'
head -1 found >direct && echo "$key = direct" >>direct
head -1 found >none
expect 0 "conv(F" "$INGOT" profile conv.irt --runs 3 --tune --tune-cache none
expect 0 "conv  f32" "$INGOT" profile conv.irt --runs 3 --tune --tune-cache direct
expect 0 "" "$INGOT" run a.so --output a
expect 0 "" "$INGOT" compile conv.irt -o direct.so --tune --tune-cache direct
expect 0 "" "$INGOT" compile conv.irt -o plain.so
cmp -s direct.so plain.so && complain "the decision changed nothing"

# of another model, other options, or damaged: measured again
sed 's/splat(0.01)/splat(0.02)/' conv.irt >other.irt
cp found kept
expect 0 "round 1" "$INGOT" compile other.irt -o c.so --tune --tune-cache found
cmp -s found kept && complain "the file of another model was not replaced"
cp kept found
expect 0 "round 1" "$INGOT" compile conv.irt -o c.so --tune --tune-cache kept --fast-math
echo nonsense >>direct
expect 0 "round 1" "$INGOT" compile conv.irt -o c.so --tune --tune-cache direct

# of another build of ingot: measured again
cp "$INGOT" another && echo >>another
expect 0 "" "$INGOT" compile conv.irt -o c.so --tune --tune-cache found
expect 0 "round 1" ./another compile conv.irt -o c.so --tune --tune-cache found

# the usual place
expect 0 "tuned: " "$INGOT" compile conv.irt -o c.so --tune
[ "$(ls cache/ingot/conv-*.tune | wc -l)" = 1 ] || complain "no file in the cache folder"
expect 1 "XDG_CACHE_HOME" env -u XDG_CACHE_HOME -u HOME "$INGOT" compile conv.irt -o c.so --tune
expect 1 "--tune measures on this machine" "$INGOT" compile conv.irt -o c.so --tune --target riscv64-linux-gnu
expect 1 "nowhere.onnx: " "$INGOT" compile nowhere.onnx -o c.so --tune
expect 1 "/nonexistent/f" "$INGOT" compile conv.irt -o c.so --tune --tune-cache /nonexistent/f
[ -z "$(ls tmp)" ] || complain "left in the temporary folder: $(ls tmp)"
finish
