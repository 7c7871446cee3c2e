#!/bin/bash
# Install what is missing, build, run every test.
#   tests/run.sh [--setup | --native] [SUITE...]
#     --setup    only install the packages (Debian 12, as root or with sudo)
#     --native   without the suites of other processors (aarch64, old x86, emulated AVX-512)
#     SUITE      only suites whose name begins so ("unit", "asan", "shell/test_cli")
# IOL_SHARED: the folder of reference results (default: ../shared beside the repository; without it those suites are
# skipped). IOL_EMULATE=1: emulate AVX-512 also where the processor has it. Logs: build/logs/.
# Ends with `N passed, N failed, N skipped`; exit status 1 if anything failed.
set -u
cd "$(dirname "$0")/.." || exit 1
root=$PWD jobs=2 native=0 setup=0 only=()
for word in "$@"; do
    case $word in
    --setup) setup=1 ;;
    --native) native=1 ;;
    -*) echo "tests/run.sh: unknown option '$word'; --setup, --native or names of suites" >&2; exit 2 ;;
    *) only+=("$word") ;;
    esac
done
unset IOL_ISA
export LC_ALL=C.UTF-8
logs=$root/build/logs
mkdir -p "$logs" || exit 1
passed=0 failed=0 skipped=0 failures=()

# --- packages ----------------------------------------------------------------------------------------
. tests/packages.sh
groups='build|bench|test'
[ $native -eq 0 ] && groups+='|foreign'
if ! install_packages "$groups" >"$logs/setup.log" 2>&1 </dev/null; then
    tail -20 "$logs/setup.log"
    echo "FAILED  setup: packages are missing ($logs/setup.log): $(missing_packages "$groups" | tr '\n' ' ')"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi
if [ $setup -eq 1 ]; then
    echo "setup: every package is there"
    exit 0
fi

# --- suites --------------------------------------------------------------------------------------------
wanted() {
    local name
    [ ${#only[@]} -eq 0 ] && return 0
    for name in "${only[@]}"; do [[ $1 == "$name"* ]] && return 0; done
    return 1
}
# The counts of a log, "PASSED FAILED SKIPPED": CMocka's lines of every group, else the last line of a script.
counts_of() {
    awk '/^\[  PASSED  \] [0-9]+ test/ { p += $4; cmocka = 1 }
         /^\[  FAILED  \] .*[0-9]+ test\(s\)/ { match($0, /[0-9]+ test\(s\)/); f += substr($0, RSTART) + 0; cmocka = 1 }
         /^\[  SKIPPED \] .*[0-9]+ test\(s\)/ { match($0, /[0-9]+ test\(s\)/); s += substr($0, RSTART) + 0; cmocka = 1 }
         /^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$/ { script = 1; a = $1; b = $3; c = NF > 4 ? $5 : 0 }
         END { if (cmocka) print p + 0, f + 0, s + 0; else if (script) print a, b, c; else print 0, 0, 0 }' "$1"
}
# suite NAME COMMAND...: run it, count it, print one line. What prints no count has failed.
suite() {
    local name=$1 log begin=$EPOCHREALTIME status p f s word
    shift
    wanted "$name" || return 0
    log=$logs/${name//\//-}.log
    timeout -k 10 1500 bash -c '"$@"' suite "$@" >"$log" 2>&1 </dev/null
    status=$?
    read -r p f s < <(counts_of "$log")
    word=
    if [ $((p + f + s)) -eq 0 ]; then
        f=1 word=" (ran no test, status $status)"
    elif [ $status -ne 0 ] && [ "$f" -eq 0 ]; then
        f=1 word=" (status $status)"
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    printf '%-34s %5d passed %3d failed %3d skipped %7.1f s%s\n' "$name" "$p" "$f" "$s" \
        "$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')" "$word"
    grep -E '^note ' "$log" | sed 's/^/    /'
    grep -E '^skipped |^\[  SKIPPED \] ' "$log" | grep -v 'test(s)' | sed -E 's/^\[  SKIPPED \]/skipped/; s/^/    /' | sort -u |
        awk -v log_file="${log#"$root"/}" 'NR <= 4 { print } END { if (NR > 4) print "    ... and " NR - 4 " more: " log_file }'
    if [ "$f" -gt 0 ]; then
        failures+=("$name")
        grep -E -A6 '^FAILED |\[  FAILED  \]|error:|runtime error|ERROR: AddressSanitizer|LeakSanitizer|^\[   LINE' "$log" | head -30 | sed 's/^/    | /'
        tail -5 "$log" | sed 's/^/    > /'
    fi
}
skip() { # NAME WHY
    wanted "$1" || return 0
    skipped=$((skipped + 1))
    printf '%-34s skipped: %s\n' "$1" "$2"
}
one_check() { # COMMAND...: a suite of one check, passed if the command is
    if "$@"; then echo "1 passed, 0 failed, 0 skipped"; else echo "0 passed, 1 failed, 0 skipped"; return 1; fi
}
build() { # PRESET [FOLDER CMAKE-WORDS...]
    local preset=$1 folder=${2:-build/$1}
    cmake --preset "$preset" -B "$folder" "${@:3}" && nice cmake --build "$folder" -j "$jobs"
}
# All test programs of a build folder, one suite each, under an optional emulator.
unit() { # GROUP FOLDER COMMAND-PREFIX...
    local group=$1 folder=$2 source name
    shift 2
    for source in tests/test_*.c; do
        name=$(basename "$source" .c)
        suite "$group/$name" env LOCPATH="$root/build/locale" "$@" "$root/$folder/bin/$name"
    done
}
# lines COMMAND...: a checker that prints one line per rule, WRONG where it is broken.
lines() {
    local status
    "$@" >"$logs/lines" 2>&1
    status=$?
    cat "$logs/lines"
    awk -v status=$status '/^[^ ].*: .*WRONG/ { f++; next } /^[^ ].*: / { p++ }
         END { f += status && !f; printf "%d passed, %d failed, 0 skipped\n", p, f }' "$logs/lines"
    return $status
}
export -f build one_check lines
export jobs logs

program=$root/build/release/bin/iolaus
zoo=$(ls -d bench/zoo/*/config.json 2>/dev/null | head -1 | xargs -r dirname)
shared=${IOL_SHARED:-$root/../shared}
[ -d "$shared/oracle" ] && IOL_SHARED=$(cd "$shared" && pwd) && export IOL_SHARED

# --- the release build, its tests, the program ------------------------------------------------------
# Warnings of gcc are errors here, those of clang in build/clang below.
suite build/release one_check build release build/release -DIOL_TESTS=ON -DIOL_BENCH=ON -DIOL_WERROR=ON
if wanted build/release && [ $failed -gt 0 ]; then
    echo "nothing was tested: the release build failed (build/logs/build-release.log)"
    echo "$passed passed, $failed failed, $skipped skipped"
    exit 1
fi
# A locale with a decimal comma, and the models of the reference results, for the tests that want them.
[ -e build/locale/de_DE.utf8 ] || { mkdir -p build/locale && localedef -i de_DE -f UTF-8 build/locale/de_DE.utf8 >"$logs/locale.log" 2>&1; }
if [ -n "${IOL_SHARED:-}" ]; then
    export IOL_MODELS=$root/build/models # made before any test, so that one suite alone finds them
    mkdir -p "$IOL_MODELS"
    [ -e "$IOL_MODELS/stories260K/config.json" ] || python3 "$IOL_SHARED/models/to_hf.py" all "$IOL_MODELS" >"$logs/models.log" 2>&1 || unset IOL_MODELS
fi
unit unit build/release
suite shell/test_structure tests/test_structure.sh
suite shell/test_headers tests/test_headers.sh
suite shell/test_consumer tests/test_consumer.sh build/release
suite shell/test_invariants python3 tests/test_invariants.py "$program" $zoo
suite shell/test_faults python3 tests/test_faults.py "$program"
if [ -n "$zoo" ]; then
    suite shell/test_cli bash tests/test_cli.sh "$program" "$zoo"
else
    skip shell/test_cli "no carried model in bench/zoo"
fi
suite rules/check_tree lines python3 tests/check_tree.py "$root" nm build/release
suite rules/check_docs python3 tests/check_docs.py build/release
suite rules/check_disassembly lines python3 tests/check_disassembly.py objdump build/release
suite perf/test_perf python3 tests/test_perf.py build/release
suite perf/instructions perf/instructions --build build/release
if [ "$(uname -m)" = x86_64 ]; then suite perf/mca perf/mca build/release; fi
if [ -n "${IOL_SHARED:-}" ]; then
    suite shell/test_goldens tests/test_goldens.sh "$program" "$IOL_SHARED"
else
    skip shell/test_goldens "no reference results: $shared/oracle is not there"
fi

# --- other compilers, sanitizers, format -----------------------------------------------------------
suite build/clang one_check build clang
suite rules/check_disassembly-clang lines python3 tests/check_disassembly.py objdump build/clang
suite rules/clang-format one_check bash -c 'find include kernels runtime tests bench perf -name "*.[ch]" | xargs clang-format-14 --dry-run -Werror'
suite build/asan one_check build asan
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
unit asan build/asan
suite asan/test_invariants python3 tests/test_invariants.py build/asan/bin/iolaus
suite asan/test_faults python3 tests/test_faults.py build/asan/bin/iolaus
[ -n "$zoo" ] && suite asan/test_cli bash tests/test_cli.sh build/asan/bin/iolaus "$zoo"

# --- other processors ----------------------------------------------------------------------------------
# The same bits: compilers, sanitizers and emulated processors against the release build.
digests() { suite "same/$1" python3 tests/test_machines.py "$program" "${@:2}"; }
digests clang build/clang/bin/iolaus
digests asan build/asan/bin/iolaus
if [ $native -eq 1 ]; then
    for name in aarch64 haswell nehalem avx512; do skip "foreign/$name" "--native"; done
elif [ "$(uname -m)" != x86_64 ]; then
    for name in aarch64 haswell nehalem avx512; do skip "foreign/$name" "these emulators run on x86-64"; done
else
    suite build/aarch64 one_check build aarch64
    suite foreign/aarch64-kernels qemu-aarch64 build/aarch64/bin/test_kernels
    suite rules/check_disassembly-aarch64 lines python3 tests/check_disassembly.py aarch64-linux-gnu-objdump build/aarch64
    suite perf/mca-aarch64 perf/mca build/aarch64
    digests aarch64 qemu-aarch64 build/aarch64/bin/iolaus
    for isa in scalar avx2; do
        suite foreign/haswell-kernels-$isa env IOL_ISA=$isa qemu-x86_64 -cpu Haswell build/release/bin/test_kernels --quick
    done
    digests haswell qemu-x86_64 -cpu Haswell build/release/bin/iolaus
    suite foreign/nehalem python3 tests/test_machines.py "$program" --refuse qemu-x86_64 -cpu Nehalem build/release/bin/iolaus
    if grep -qw avx512vl /proc/cpuinfo && [ "${IOL_EMULATE:-0}" != 1 ]; then
        skip foreign/avx512-emulated "this processor has AVX-512: the suites above used it (IOL_EMULATE=1 to emulate it too)"
    else
        suite foreign/avx512-emulated python3 tests/test_machines.py "$program" --emulate tests/avx512-vm
    fi
fi

echo
[ ${#failures[@]} -gt 0 ] && echo "failed: ${failures[*]} (logs in build/logs)"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
