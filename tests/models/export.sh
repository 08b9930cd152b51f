#!/bin/sh
# Every shared model, as imported and simplified, written as ONNX, read again and compiled: the same outputs as the original's, and a graph that the second writing
# leaves as it is. Where ORT_DIR holds ONNX Runtime (npm), it must load every file.
set -u
[ -d "$SHARED/models" ] || { echo "skipped: no shared models here"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
bad=0
complain() { echo "$*"; bad=$((bad + 1)); }

# written MODEL OPTIONS...: $dir/m.onnx
written() {
    model=$1
    shift
    said=$("$INGOT" dump "$model" "$@" -o "$dir/m.onnx" 2>&1) || { complain "$said"; return 1; }
    inputs=""
    case $model in                  # the others run on any input
    */audio-melspectrogram/* | */audio-silero*) for f in "${model%/*}"/inputs/*.npy; do name=${f##*/}; inputs="$inputs --input ${name%.npy}=$f"; done ;;
    esac
    # shellcheck disable=SC2086
    said=$("$INGOT" verify "$model" "$dir/m.onnx" $inputs --rtol 1e-5 2>&1) || complain "$model $*: $said"
    [ -z "${ORT_DIR:-}" ] || said=$(ORT_DIR=$ORT_DIR node "$SHARED/tools/ort.mjs" info "$dir/m.onnx" 2>&1) || complain "$model $*: ONNX Runtime: $said"
}
for model in "$SHARED"/models/*/model.onnx; do
    written "$model"
    case $model in
    */int8-*) ;;                    # what is folded is quantised no more
    *) written "$model" --passes fold,cse,dce,rules,cse,dce ;;
    esac
done
echo "$bad failures"
[ "$bad" = 0 ]
