#!/bin/bash
# Every public header compiles alone, as C11 and as C++17, with gcc and clang.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/checks.sh
for header in include/iolaus/*.h; do
    name=iolaus/$(basename "$header")
    printf '#include "%s"\n#include "%s"\n' "$name" "$name" >"$work/one.c"
    cp "$work/one.c" "$work/one.cc"
    for compiler in gcc clang; do
        check "$name: $compiler, C11" "$compiler" -std=c11 -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only "$work/one.c"
    done
    for compiler in g++ clang++; do
        check "$name: $compiler, C++17" "$compiler" -std=c++17 -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only "$work/one.cc"
    done
done
check_end
