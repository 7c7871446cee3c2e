#!/bin/bash
# The tree has the rooms that docs/architecture.md names. (tests/check_tree.py judges what they include.)
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/checks.sh

files=$(git ls-files 2>/dev/null)
[ -n "$files" ] || files=$(find . -path ./build -prune -o -path ./.git -prune -o -type f -printf '%P\n')
# Files that a working tree holds but git does not yet are judged too.
files=$(printf '%s\n' "$files" $(git ls-files --others --exclude-standard 2>/dev/null) | sort -u)

expected='CHANGELOG.md CMakeLists.txt CMakePresets.json CONTRIBUTING.md LICENSE README.md bench cmake docs include kernels perf runtime tests'
found=$(cut -d/ -f1 <<<"$files" | grep -v '^\.' | sort -u | tr '\n' ' ')
[ "$found" = "$expected " ]
that=$?
[ $that -eq 0 ] && ok "top-level entries" || { printf 'found    %s\nexpected %s\n' "$found" "$expected" >"$work/log"; bad "top-level entries"; }

sources=$(grep -E '\.(c|h|cc|py|sh)$' <<<"$files")
nothing "no file is called utils, misc, helpers or common" "$(grep -iE '(^|/)[^/]*(utils?|misc|helpers?|common)[^/]*\.(c|h|py|sh)$' <<<"$files")"
nothing "nothing is left to do in the sources" "$(grep -nE '\b(TODO|FIXME|XXX)\b' $(grep -v '^tests/test_structure.sh$' <<<"$sources") /dev/null)"

# Rows and files of the registries.
for def in runtime/model/arch.def:FAMILY:runtime/model/arch_ runtime/intervene/kinds.def:KIND:runtime/intervene/kind_; do
    IFS=: read -r table macro stem <<<"$def"
    rows=$(sed -nE "s/^$macro\(([a-z0-9_]+).*/\1/p" "$table" | sort)
    have=$(sed -nE "s|^$stem([a-z0-9_]+)\.c$|\1|p" <<<"$files" | sort)
    nothing "$table: a file for each row, a row for each file" "$(diff <(echo "$rows") <(echo "$have"))"
done
library=build/release/libiolaus.so
if [ -e "$library" ]; then
    nothing "the library exports public names only" "$(nm -D --defined-only "$library" | awk '$2 ~ /[TDBRV]/ { print $3 }' | sed 's/@.*//' |
            while read -r name; do grep -qw -- "$name" include/iolaus/*.h || echo "$name"; done)"
else
    skip "names that the library exports" "$library is not there"
fi
check_end
