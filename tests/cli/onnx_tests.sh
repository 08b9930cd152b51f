# onnx_tests.sh -- ingot test: finding tests, verdicts, the ratchet. Uses a handful of the official tests where they are unpacked, else skips.
. "$SOURCE_DIR/tests/cli/expect.shlib"
archive=$SHARED/conformance/onnx-1.22.0-backend-data.tar.xz
[ -r "$archive" ] || exit 77
cd "$work" || exit 1
tar xf "$archive" --wildcards '*/test_relu/*' '*/test_add/*' '*/test_abs/*' '*/test_sigmoid/*' || exit 77
relu=$(find "$work" -type d -name test_relu)
node=$(dirname "$relu")

expect 0 "4 passed, 0 failed, 0 skipped" "$INGOT" test "$node" --eval
expect 0 "4 passed, 0 failed, 0 skipped" "$INGOT" test "$node" --jobs 2
expect 0 "1 passed, 0 failed, 0 skipped" "$INGOT" test "$relu"
expect 0 "1 passed, 0 failed, 0 skipped" "$INGOT" test "$node" --only relu
expect 0 "4 passed, 0 failed, 0 skipped" "$INGOT" test "$node" --runner "$INGOT_RUN"
expect 0 "; largest: " "$INGOT" test "$node" --memory 500
expect 1 "MB; 1 are allowed" "$INGOT" test "$relu" --memory 1
expect 1 "no tests" "$INGOT" test "$node/test_relu/test_data_set_0"
expect 1 "no such folder" "$INGOT" test "$work/nowhere"

# another test's expected output is a failure with the numbers, a broken model one with its sentence, a missing data set is skipped
cp "$node/test_abs/test_data_set_0/output_0.pb" "$relu/test_data_set_0/output_0.pb"
expect 1 "FAIL $(basename "$node")/test_relu: output 'y': " "$INGOT" test "$node" --eval
expect 1 "3 passed, 1 failed, 0 skipped" "$INGOT" test "$node"
head -c 20 "$node/test_add/model.onnx" >cut && mv cut "$node/test_add/model.onnx"
rm -r "$node/test_sigmoid/test_data_set_0"
expect 1 "1 passed, 2 failed, 1 skipped" "$INGOT" test "$node" --eval

# the ratchet: as listed is fine, a new failure and an unexpected pass are not, bless writes it anew
expect 0 "1 passed, 2 failed, 1 skipped" "$INGOT" test "$node" --eval --ratchet list --bless
expect 0 "1 passed, 2 failed, 1 skipped" "$INGOT" test "$node" --eval --ratchet list
grep -v test_relu list >shorter
expect 1 "new failure: $(basename "$node")/test_relu" "$INGOT" test "$node" --eval --ratchet shorter
(cat list; echo "$(basename "$node")/test_abs # it passes") >longer
expect 1 "unexpected pass" "$INGOT" test "$node" --eval --ratchet longer
(cat list; echo "simple/test_elsewhere") >others
expect 0 "" "$INGOT" test "$node" --eval --ratchet others --bless
grep -q "^simple/test_elsewhere$" others || complain "--bless forgot a test that was not run"
expect 1 "absent-list" "$INGOT" test "$node" --eval --ratchet absent-list

# a crash and a hang are counted failures with their names
printf '#!/bin/sh\nkill -SEGV $$\n' >crash.sh
printf '#!/bin/sh\nexec sleep 30\n' >hang.sh
chmod +x crash.sh hang.sh
expect 1 "Segmentation fault" "$INGOT" test "$node/test_abs" --runner "$work/crash.sh"
expect 1 "0 passed, 1 failed, 0 skipped" "$INGOT" test "$node/test_abs" --runner "$work/hang.sh" --timeout 1
finish
