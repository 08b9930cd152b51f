# calibration.sh -- samples that no command can use: of every form (.npy, .npz, .pb, pictures, folders of them) and for every command that reads samples, one
# sentence that names the file, exit status 1, and no output.
. "$SOURCE_DIR/tests/cli/expect.shlib"
. "$SOURCE_DIR/tests/cli/digits.shlib"
picture='(1, 1, 28, 28)'
zeros() { head -c "$1" /dev/zero; }
ones() { zeros "$1" | tr '\000' '\377'; }
pixels five | npy "$picture" >good.npy
printf '\005' | npy '(1,)' >label.npy

# floats BYTES TEXT: one picture of floats, all 0 but for what is written over its beginning
floats() { bytes=$1; shift; printf "$@"; zeros $((3136 - bytes)); }
printf '' >empty.npy
printf 'hello' >text.npy
head -c 500 good.npy >cut.npy
printf '' | npy '(0, 1, 28, 28)' >none.npy
zeros 784 | npy "$picture" >constant.npy
floats 4 '\000\000\300\177' | npy "$picture" '<f4' >nan.npy
floats 8 '\000\000\000\000\000\000\200\177' | npy "$picture" '<f4' >infinite.npy
{ zeros 6264; printf '\234\165\000\210\074\344\067\176'; } | npy "$picture" '<f8' >huge.npy
zeros 841 | npy '(1, 1, 29, 29)' >large.npy
pixels five | npy '(1, 14, 56)' >wide.npy
pixels five | npy '(784,)' >flat.npy
zeros 6272 | npy "$picture" '<c8' >complex.npy
zeros 6272 | npy "$picture" '|O' >objects.npy
printf '' >empty.npz
printf 'hello' >text.npz
printf '' >empty.png
printf 'hello' >text.png
base64 -d >nan.npz <<'END'
UEsDBBQAAAAIAAAAIQCp+Eo7ZQAAAMAMAAAJABQAaW1hZ2UubnB5AQAQAMAMAAAAAAAAZQAAAAAAAACb7BfqGxDJyFDGUK2eklqcXKRupaBuk2airqOgnpZfVFKUmBefX5SSChJ3S8wpTgWKF2ck
FqQC+RqGOgpAZGQBwpo6CrUKJAMuBrzgQD1++VEwCkbBKBgFo2AUjIJRMApGwUgCAFBLAQIUAxQAAAAIAAAAIQCp+Eo7ZQAAAMAMAAAJAAAAAAAAAAAAAACAAQAAAABpbWFnZS5ucHlQSwUGAAAA
AAEAAQA3AAAAoAAAAAAA
END
head -c 200 nan.npz >cut.npz
base64 -d >others.npz <<'END'
UEsDBBQAAAAIAAAAIQANrsihZQAAAMAMAAAHABQAZm9vLm5weQEAEADADAAAAAAAAGUAAAAAAAAAm+wX6hsQychQxlCtnpJanFykbqWgbpNmoq6joJ6WX1RSlJgXn1+UkgoSd0vMKU4FihdnJBak
AvkahjoKQGRkAcKaOgq1CiQDLga8oMEev/woGAWjYBSMglEwCkbBKBgFo2AkAQBQSwMEFAAAAAgAAAAhAA2uyKFlAAAAwAwAAAcAFABiYXIubnB5AQAQAMAMAAAAAAAAZQAAAAAAAACb7BfqGxDJ
yFDGUK2eklqcXKRupaBuk2airqOgnpZfVFKUmBefX5SSChJ3S8wpTgWKF2ckFqQC+RqGOgpAZGQBwpo6CrUKJAMuBrygwR6//CgYBaNgFIyCUTAKRsEoGAWjYCQBAFBLAQIUAxQAAAAIAAAAIQAN
rsihZQAAAMAMAAAHAAAAAAAAAAAAAACAAQAAAABmb28ubnB5UEsBAhQDFAAAAAgAAAAhAA2uyKFlAAAAwAwAAAcAAAAAAAAAAAAAAIABngAAAGJhci5ucHlQSwUGAAAAAAIAAgBqAAAAPAEAAAAA
END
base64 -d >constant.npz <<'END'
UEsDBBQAAAAIAAAAIQBRtLmdYQAAAMAMAAAJABQAaW1hZ2UubnB5AQAQAMAMAAAAAAAAYQAAAAAAAACb7BfqGxDJyFDGUK2eklqcXKRupaBuk2airqOgnpZfVFKUmBefX5SSChJ3S8wpTgWKF2ck
FqQC+RqGOgpAZGQBwpo6CrUKJAMuhlEwCkbBKBgFo2AUjIJRMApGwSggEgAAUEsBAhQDFAAAAAgAAAAhAFG0uZ1hAAAAwAwAAAkAAAAAAAAAAAAAAIABAAAAAGltYWdlLm5weVBLBQYAAAAAAQAB
ADcAAACcAAAAAAA=
END

# pb FOLDER: a tensor f32[1,1,28,28] of the bytes that are piped in, as a test set
pb() {
    mkdir -p "$1/test_data_set_0"
    { printf '\010\001\010\001\010\034\010\034\020\001\112\300\030'; cat; } >"$1/test_data_set_0/input_0.pb"
}
mkdir empty others text.pb text.pb/test_data_set_0 no.pb no.pb/test_data_set_0 pictures second
printf 'hello' >others/readme.txt
printf 'hello' >text.pb/test_data_set_0/input_0.pb
printf 'hello' >pictures/a.png
cp good.npy second/a.npy
cp nan.npy second/b.npy
floats 4 '\000\000\300\177' | pb nan.pb
zeros 3136 | pb constant.pb
{ printf '\010\001\010\001\010\034\010\034\020\001\112\004'; zeros 4; } >short && mkdir -p short.pb/test_data_set_0 && mv short short.pb/test_data_set_0/input_0.pb

# refused DATA TEXT [HOW]: with HOW in front; or by quantize and eval
refused() {
    [ $# = 3 ] || { refused "$1" "$2" "quantize -o out.onnx --calibrate"; refused "$1" "$2" "eval --labels label.npy --data"; return; }
    case "$2 $3" in *"is constant"*--data) return ;; esac       # one can be asked about constant samples, but not learn from them
    expect 1 "error: $1" "$INGOT" $3 "$1" "$onnx"
    grep -qF -- "$2" "$work/said" || complain "no '$2': ingot $3 $1"
    [ "$(grep -c . "$work/said")" = 1 ] || complain "not one line: ingot $3 $1"
    absent out.onnx out.so out.json out.svg
}
# Whatever the samples are for.
for how in "quantize -o out.onnx --dynamic --json out.json --calibrate" "quantize -o out.onnx --weights int4 --gptq --calibrate" "quantize -o out.onnx --weights int4 --json out.json --calibrate" \
           "quantize -o out.onnx --picture out.svg --calibrate good.npy --data" "compile -o out.so --calibrate" \
           "prune -o out.onnx --macs 0.5 --calibrate" "prune -o out.onnx --macs 0.5 --json out.json --data" \
           "compress -o out.onnx --macs 0.5 --calibrate" "compress -o out.onnx --macs 0.5 --calibrate good.npy --json out.json --data"; do
    refused nowhere.npy "No such file" "$how"
    refused none.npy "there are no samples" "$how"
    refused constant.npy "is constant: every element is 0" "$how"
    refused nan.npy "element 0, for input 'image', is not a finite number" "$how"
    refused large.npy "samples of [1,29,29] do not fit input 'image' of [N,1,28,28]" "$how"
done
refused nowhere.npy "No such file"
refused empty.npy "the file is empty"
refused text.npy "not a .npy file"
refused cut.npy "truncated"
refused none.npy "there are no samples"
refused constant.npy "is constant: every element is 0"
refused nan.npy "element 0, for input 'image', is not a finite number"
refused infinite.npy "element 1, for input 'image', is not a finite number"
refused huge.npy "element 783 is 1e+300, which input 'image' of type f32 cannot hold"
refused large.npy "samples of [1,29,29] do not fit input 'image' of [N,1,28,28]"
refused wide.npy "samples of [14,56] do not fit input 'image' of [N,1,28,28]"
refused flat.npy "samples of [] do not fit input 'image' of [N,1,28,28]"
refused complex.npy "elements of type c64 are not read here"
refused objects.npy "elements of type '|O' are not supported"
refused empty.npz "the file is empty"
refused text.npz "not a .npz file that can be read"
refused cut.npz "not a .npz file that can be read"
refused nan.npz "element 7, for input 'image', is not a finite number"
refused others.npz "there is no array 'image'"
refused constant.npz "is constant: every element is 0"
refused empty.png "the file is empty"
refused text.png "not an image that can be decoded"
refused empty "there are no samples"
refused others "there are no samples"
refused pictures "pictures/a.png: not an image"
refused second "second/b.npy: element 0"
refused no.pb "input_0.pb: cannot open the file"
refused text.pb "input_0.pb: is not a valid ONNX file"
refused nan.pb "nan.pb/test_data_set_0: element 0"
refused short.pb "input_0.pb"
refused constant.pb "is constant: every element is 0"

# labels
printf '\005\002' | npy '(2,)' >two.npy
printf '\012' | npy '(1,)' >beyond.npy
printf '\377' | npy '(1,)' '|i1' >below.npy
printf '\000\000\000\077' | npy '(1,)' '<f4' >half.npy
printf '\000\000\300\177' | npy '(1,)' '<f4' >nan_label.npy
printf '' | npy '(0,)' >no_label.npy
labels() {
    for how in "quantize -o out.onnx --calibrate" "eval --data"; do
        expect 1 "error: $1" "$INGOT" $how good.npy --labels "$1" "$onnx"
        grep -qF -- "$2" "$work/said" || complain "no '$2': ingot $how good.npy --labels $1"
    done
    absent out.onnx
}
labels nowhere.npy "No such file"
labels empty.npy "the file is empty"
labels no_label.npy "has 0 labels for the 1 samples of good.npy"
labels two.npy "has 2 labels for the 1 samples of good.npy"
labels beyond.npy "label 10 of sample 0, the model has 10 classes"
labels below.npy "label 0 is -1, which is no class number"
labels half.npy "label 0 is 0.5, which is no class number"
labels nan_label.npy "label 0 is nan, which is no class number"

# how samples are turned into inputs
form() { text=$1; shift; expect 1 "$text" "$INGOT" quantize "$onnx" -o out.onnx --calibrate good.npy "$@"; }
form "--scale: 0 says nothing" --scale 0
form "--std: 0 says nothing" --std 0
form "--std: inf says nothing" --std inf
form "--mean: nan says nothing" --mean nan
form "--mean has 2 numbers, the data 1 channels" --mean 1,2
form "--layout nwhc: neither nchw nor nhwc" --layout nwhc
absent out.onnx
pixels five | npy '(1, 28, 28, 1)' >last.npy
pixels five | npy '(1, 784)' >row.npy
for data in good.npy last.npy row.npy; do
    expect 0 "top-1 100.00 %" "$INGOT" eval "$onnx" --data $data --labels label.npy --scale 1/255
done
finish
