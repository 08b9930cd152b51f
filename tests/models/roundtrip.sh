#!/bin/sh
# The textual IR round-trips on every shared model, at every stage; and compiling twice gives identical bytes.
set -u
[ -d "$SHARED/models" ] || { echo "skipped: no shared models here"; exit 77; }
"$BUILD_DIR/roundtrip" "$SHARED"/models/*/model.onnx || exit 1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
bad=0
while read -r name; do
  for i in 1 2; do "$INGOT" compile "$SHARED/models/$name/model.onnx" -o "$dir/$i.so" || exit 1; done
  cmp "$dir/1.so" "$dir/2.so" || { echo "$name: two compilations differ"; bad=1; }
  "$LLVM_BINDIR/llvm-readelf" -d "$dir/1.so" | grep NEEDED && { echo "$name: needs another library"; bad=1; }
done < "$SOURCE_DIR/tests/models/must_pass.txt"
exit $bad
