# What the shell suites share: counted checks. Source it; finish with check_end.
passed=0 failed=0 skipped=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ok() { passed=$((passed + 1)); echo "ok      $1"; }
bad() { failed=$((failed + 1)); echo "FAILED  $1"; sed 's/^/        | /' "$work/log" 2>/dev/null | head -12; }
skip() { skipped=$((skipped + 1)); echo "skipped $1 ($2)"; }
# check NAME COMMAND...: passed if the command is.
check() {
    local name=$1
    shift
    if "$@" >"$work/log" 2>&1 </dev/null; then ok "$name"; else bad "$name"; fi
}
# nothing NAME TEXT: passed if the text is empty.
nothing() { printf '%s\n' "$2" >"$work/log"; if [ -z "$2" ]; then ok "$1"; else bad "$1"; fi; }
check_end() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
}
