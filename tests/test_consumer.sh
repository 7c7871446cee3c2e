#!/bin/bash
# The installed library serves a program that knows nothing of this tree, through pkg-config and find_package.
#   tests/test_consumer.sh BUILD_FOLDER
set -u
here=$(cd "$(dirname "$0")" && pwd)
built=$(cd "$1" && pwd)
. "$here/checks.sh"
prefix=$work/prefix
check "install" cmake --install "$built" --prefix "$prefix"
library=$(dirname "$(find "$prefix" -name 'libiolaus.so' | head -1)")
check "the program, the man page and the static library are installed" \
    ls "$prefix/bin/iolaus" "$prefix/share/man/man1/iolaus.1" "$library/libiolaus_static.a"
python3 "$here/checks.py" "$work/model" llama 8
words=(--model "$work/model" --prompts "$work/model/prompts.jsonl" --do attn_out,mlp_out=zero,resample:3 --quiet)
want=$(env -u IOL_ISA "$prefix/bin/iolaus" run "${words[@]}" | grep '^digest ')
[ -n "$want" ] && ok "the installed program runs" || bad "the installed program runs"

pc() { PKG_CONFIG_PATH=$library/pkgconfig pkg-config "$@" iolaus; }
# shellcheck disable=SC2046
check "pkg-config: builds" gcc -std=c11 -Wall -Werror $(pc --cflags) -o "$work/by_pc" "$here/consumer/consumer.c" $(pc --libs)
[ -n "$want" ] && [ "$(LD_LIBRARY_PATH=$library "$work/by_pc" "$work/model" "$work/model/prompts.jsonl" 2>"$work/log")" = "$want" ] &&
    ok "pkg-config: runs, the same digest" || bad "pkg-config: runs, the same digest"
check "find_package: configures" cmake -S "$here/consumer" -B "$work/build" -G Ninja -DCMAKE_PREFIX_PATH="$prefix"
check "find_package: builds" cmake --build "$work/build"
[ -n "$want" ] && [ "$(LD_LIBRARY_PATH=$library "$work/build/consumer" "$work/model" "$work/model/prompts.jsonl" 2>"$work/log")" = "$want" ] &&
    ok "find_package: runs, the same digest" || bad "find_package: runs, the same digest"
LD_LIBRARY_PATH=$library "$work/by_pc" /nowhere /nowhere >"$work/out" 2>"$work/log"
[ $? -eq 1 ] && grep -q '/nowhere' "$work/log" && ok "a failure is reported through the library" || bad "a failure is reported through the library"
check_end
