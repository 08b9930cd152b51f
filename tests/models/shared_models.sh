#!/bin/sh
# Compiles every model of the shared folder and compares with its reference outputs. The listed ones must pass; any other may be refused with a
# sentence, but must not give wrong numbers nor crash.
set -u
[ -f "$SHARED/tools/check_models.mjs" ] || { echo "skipped: no shared models here"; exit 77; }
command -v node >/dev/null || { echo "skipped: node is not installed"; exit 77; }
log=$BUILD_DIR/shared_models${TARGET:+_$TARGET}.log
if [ -n "${TARGET:-}" ]; then
  node "$SHARED/tools/check_models.mjs" --ingot "$INGOT" --compile "--target $TARGET" --runner "$RUNNER" >"$log" 2>&1
else
  node "$SHARED/tools/check_models.mjs" --ingot "$INGOT" >"$log" 2>&1
fi
cat "$log"
bad=0
while read -r want; do
  grep -q "^pass  $want " "$log" || { echo "must pass and did not: $want"; bad=1; }
done < "$SOURCE_DIR/tests/models/must_pass.txt"
grep -E '^(FAIL|CRASH)' "$log" && bad=1
exit $bad
