#!/bin/sh
# The pages are true: links lead somewhere, commands and options exist, console blocks give what stands below them, no path of somebody's machine.
set -u
cd "$SOURCE_DIR" || exit 1
pages=$(ls ./*.md docs/*.md)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failures=0
complain() { failures=$((failures + 1)); echo "FAIL: $*"; }

# ---- links: the file, and the heading after '#' ----
headings() { sed -n 's/^#\{1,6\} //p' "$1" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9_\n-'; }
for page in $pages; do
    for link in $(grep -oE '\]\([^)]*\)|src="[^"]*"' "$page" | sed -E 's/^(\]\(|src=")//; s/[)"]$//'); do
        case $link in *://*) continue ;; esac
        file=${link%%#*} anchor=${link#"${link%%#*}"}
        target=$page
        [ -z "$file" ] || target=$(dirname "$page")/$file
        [ -e "$target" ] || complain "$page links to $link, which is not there"
        [ -z "$anchor" ] || headings "$target" | grep -qxF -- "${anchor#\#}" || complain "$page links to $link: no such heading"
    done
done

# ---- commands and options: all that the programs' own help mentions ----
for program in "$INGOT" "$INGOT_RUN"; do
    "$program" --help
    for command in $("$program" --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do "$program" "$command" --help; done
done >"$work/help" 2>/dev/null
grep -h '^  --' bench/*.mjs >>"$work/help"           # the usage of the scripts
for word in $(cat $pages | grep -oE '(`|\$ )ingot(-run)? [a-z]+' | sed 's/.* //' | sort -u); do
    grep -qE "^  $word  " "$work/help" || complain "the pages mention 'ingot $word'"
done
foreign="--test-dir" # ctest's
for flag in $(cat $pages | grep -oE '(^|[^a-z-])--[a-z][a-z0-9-]+' | grep -oE -- '--[a-z0-9-]+' | sort -u); do
    case " $foreign " in *" $flag "*) continue ;; esac
    grep -qE -- "(^|[ ,])$flag( |$)" "$work/help" || complain "the pages mention the option $flag"
done

# ---- console blocks: each '$ ' line is run in a copy of the examples; below it stands all that it prints ----
mkdir "$work/run" "$work/tmp"
cp docs/*.irt examples/digits/* tests/tree/*.onnx tests/rules/mul_one.irt "$work/run"
export TMPDIR="$work/tmp" PATH="$(dirname "$INGOT"):$(dirname "$INGOT_RUN"):$PATH"
for page in $pages; do
    awk '/^```console$/ { on = 1; next } /^```$/ { on = 0 } on' "$page" >"$work/want"
    sed -n 's/^\$ //p' "$work/want" >"$work/commands"
    while read -r command; do
        echo "\$ $command"
        (cd "$work/run" && sh -c "$command" 2>&1 </dev/null)
    done <"$work/commands" >"$work/got"
    diff "$work/want" "$work/got" >"$work/difference" || { complain "$page does not show what its commands print"; cat "$work/difference"; }
done

# ---- words ----
grep -nE '(^|[^a-zA-Z0-9_.-])/(work|tmp/w|root|home)(/|$)|TODO|FIXME' $pages && complain "a word that does not belong in the pages"
echo "$failures failures"
[ "$failures" = 0 ]
