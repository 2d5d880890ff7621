#!/usr/bin/env bash
# One would guess: a program that catches KeyboardInterrupt and ends with an exit code of its own has
# that exit code.
# What is: CPython remembers that a KeyboardInterrupt has left code which it compiled from a text, and
# exec() of a string is such code: dataclasses and attrs make classes that way. The mark stays when the
# exception is caught. `python -m module` (and a file that ends without sys.exit) looks at it last, after
# all exit handlers, and kills itself with SIGINT: shells see 130, a parent sees -2, whatever the program
# wanted. A file that ends with sys.exit does not look. Exactly KeyboardInterrupt counts: a subclass does
# not, and any later exec() of a string takes the mark away.
# Why it matters: an orderly end is reported as a kill, once in many runs, when Ctrl-C comes in an import.
# Seen with CPython 3.8, 3.9, 3.10.13, 3.11.7, 3.12.1 and 3.13.0; 3.7 did not do it.
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat > caught.py <<'PY'
import sys
class Own(KeyboardInterrupt): pass
kind, again = sys.argv[1:]
try:
    exec("raise Own" if kind == "own" else "raise KeyboardInterrupt")
except KeyboardInterrupt:
    print("caught")
if again == "again":
    exec("")
sys.exit(3)
PY
python3 - <<'PY'
import subprocess, sys
print(sys.version.split()[0])
seen = {}
for start in (["-m", "caught"], ["caught.py"]):
    for kind in ("plain", "own"):
        for again in ("once", "again"):
            done = subprocess.run([sys.executable, *start, kind, again], capture_output=True, text=True)
            assert done.stdout == "caught\n", done
            seen[start[0], kind, again] = done.returncode
            print(*start, kind, again, "ends with", done.returncode)
expected = dict.fromkeys(seen, 3) | {("-m", "plain", "once"): -2}
raise SystemExit(seen != expected)
PY
