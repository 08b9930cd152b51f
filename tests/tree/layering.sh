#!/bin/sh
# The walls of the house: who may include what, and file names that are unique in the tree.
set -u
cd "$SOURCE_DIR" || exit 1
bad=0
complain() { if [ -n "$2" ]; then echo "$1"; echo "$2"; bad=1; fi; }
complain "LLVM outside codegen:" "$(grep -lE '#include.*llvm-c/' ir/*.[ch] passes/*.[ch] frontend/*.[ch] compress/*.[ch] driver/*.[ch] runtime/*.[ch] 2>/dev/null)"
complain "protobuf outside frontend:" "$(grep -lE '#include.*pb-c\.h' ir/*.[ch] passes/*.[ch] codegen/*.[ch] compress/*.[ch] driver/*.[ch] runtime/*.[ch] 2>/dev/null)"
complain "ir includes a higher room:" "$(grep -lE '#include "(import|frontend|pass|cg|gen|compile|observe|driver)\.h"' ir/*.[ch])"
complain "passes include frontend or codegen:" "$(grep -lE '#include "(import|frontend|cg|gen|compile)\.h"' passes/*.[ch])"
complain "compress includes the driver or inside of codegen:" "$(grep -lE '#include "(driver|cg|gen)\.h"' compress/*.[ch])"
complain "rooms below include compress:" "$(grep -lE '#include "(observe|score|describe|quantize|weight_codes)\.h"' ir/*.[ch] passes/*.[ch] frontend/*.[ch] codegen/*.[ch] runtime/*.[ch] runtime/tool/*.[ch])"
complain "runtime includes the compiler:" "$(grep -lE '#include "(ir|arena|dim|diag|pass|cg|frontend)\.h"' runtime/*.[ch] runtime/tool/*.[ch] runtime/kernels/*.[ch])"
complain "file names used twice:" "$(git ls-files '*.c' '*.h' 2>/dev/null | sed 's|.*/||' | sort | uniq -d)"
exit $bad
