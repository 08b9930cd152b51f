# examples.sh -- builds examples/digits as its Makefile says, in a copy, and checks that both programs read the digits.
. "$SOURCE_DIR/tests/cli/expect.shlib"
cp "$SOURCE_DIR"/examples/digits/* "$work" && cd "$work" || exit 1
expect 0 "" make -s "BUILD=$BUILD_DIR" "CC=$CC" "CFLAGS=-std=c11 -O2 -Wall -Wextra -Werror -I$SOURCE_DIR/runtime ${SANITIZE:-}" all
for program in "./digits mnist.so" ./digits_static; do
    expect 0 "two.pgm: 2" $program two.pgm five.pgm
    expect 0 "five.pgm: 5" $program two.pgm five.pgm
    expect 1 "not a 28x28 binary PGM" $program Makefile
done
expect 1 "not an ELF file" ./digits two.pgm two.pgm
finish
