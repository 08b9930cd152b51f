# loop.sh -- loops through compiled code and the evaluator: states that trade places, states that grow, slices of unknown number, loops in loops.
. "$SOURCE_DIR/tests/cli/expect.shlib"
cd "$work" || exit 1

# both ways give these bytes; $1: model, $2: what `run` prints of its outputs
agree() {
    expect 0 "" "$INGOT" compile "$1.irt" -o "$1.so"
    expect 0 "$2" "$INGOT" run "$1.so"
    expect 0 "" "$INGOT" run "$1.so" --output compiled
    expect 0 "" "$INGOT" run "$1.irt" --eval --output evaluated
    for f in evaluated/*.npy; do
        cmp "$f" "compiled/$(basename "$f")" || complain "$1: $(basename "$f") differs"
    done
    rm -r compiled evaluated
}

# a, b = b, a + b; the first of each pair in a list
cat >fibonacci.irt <<'END'
graph typed {
  %0 = constant() {value=i64[] [20]}
  %1 = constant() {value=bool[] [true]}
  %2 = constant() {value=i64[] [0]}
  %3 = constant() {value=i64[] [1]}
  %4, %5, %6 = loop(%1, %0, %2, %3) {body=graph {
    %7 = input() : i64[]
    %8 = input() {index=1} : i64[]
    %9 = input() {index=2} : i64[]
    %10 = add(%8, %9)
    %11 = constant() {value=bool[] [true]}
    return(%11, %9, %10, %8)
  }, states=2}
  return(%4, %5, %6) {names=["a","b","all"]}
}
END
agree fibonacci "all: i64[20]"
expect 0 "" "$INGOT" run fibonacci.so --output last
od -An -t d8 -j 128 -v last/all.npy | grep -q 4181 || complain "fibonacci(19) is not in the list"

# the state doubles until it has more than 100 elements; every size is kept; x is captured
cat >grow.irt <<'END'
symbol s data
symbol n data
graph typed {
  %0 = input() : f32[N] "x"
  %1 = constant() {value=i64[] [9223372036854775807]}
  %2 = constant() {value=bool[] [true]}
  %3, %4 = loop(%2, %1, %0, %0) {body=graph {
    %5 = input() : i64[]
    %6 = input() {index=1} : f32[s]
    %7 = input() {index=2} : f32[N]
    %8 = concat(%6, %6)
    %9 = reduce(%7) {kind="sum", axes=[0]}
    %10 = add(%8, %9)
    %11 = from_dims() {dims=[2*s], scalar=true}
    %12 = constant() {value=i64[] [100]}
    %13 = le(%11, %12)
    return(%13, %10, %11)
  }, states=1, sizes=[s,n], at=[0,-1]} : f32[s], i64[n]
  return(%3, %4) {names=["y","sizes"]}
}
END
agree grow "y: f32[128]"
expect 0 "sizes: i64[7]" "$INGOT" run grow.so
expect 0 "y: f32[112]" "$INGOT" run grow.so --dim N=7

# no iteration: the states are what they were, there are no slices
cat >none.irt <<'END'
symbol n data
symbol e data
graph typed {
  %0 = input() : f32[3] "x"
  %1 = constant() {value=i64[] [5]}
  %2 = reduce(%0) {kind="sum", axes=[0]}
  %3 = ne(%2, %2)
  %4, %5 = loop(%3, %1, %0) {body=graph {
    %6 = input() : i64[]
    %7 = input() {index=1} : f32[3]
    %8 = constant() {value=bool[] [true]}
    %9 = relu(%7)
    %10 = nonzero(%7) {count=[e]}
    return(%8, %9, %9)
  }, states=1, sizes=[n], at=[-1]} : f32[3], f32[n,3]
  return(%4, %5) {names=["y","slices"]}
}
END
agree none "slices: f32[0,3]"

# a triangle of ones: the inner loop runs as often as the outer one has so far
cat >nested.irt <<'END'
symbol s data
symbol t data
graph typed {
  %0 = constant() {value=i64[] [30]}
  %1 = constant() {value=bool[] [true]}
  %2 = input() : f32[1] "x"
  %3 = loop(%1, %0, %2) {body=graph {
    %4 = input() : i64[]
    %5 = input() {index=1} : f32[s]
    %6 = constant() {value=bool[] [true]}
    %7 = loop(%6, %4, %5) {body=graph {
      %8 = input() : i64[]
      %9 = input() {index=1} : f32[t]
      %10 = constant() {value=bool[] [true]}
      %11 = constant() {value=f32[1] [1]}
      %12 = concat(%9, %11)
      return(%10, %12)
    }, states=1, sizes=[t], at=[0]} : f32[t]
    return(%6, %7)
  }, states=1, sizes=[s], at=[0]} : f32[s]
  return(%3) {names=["y"]}
}
END
agree nested "y: f32[436]"
finish
