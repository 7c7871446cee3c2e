#!/bin/bash
# Install what is missing, build, run the Hydra sweep on the model in the tree, print its table and bill.
#   bench/demo.sh        leaves build/demo/hydra.db; run again, it finds the results there and prints them again
set -eu
cd "$(dirname "$0")/.."
mkdir -p build/demo
. tests/packages.sh
quietly() { # NAME COMMAND...: its output is shown if it fails
    local name=$1
    shift
    echo "$name ..." >&2
    "$@" >"build/demo/log" 2>&1 </dev/null || { tail -30 build/demo/log >&2; echo "demo: $name failed" >&2; exit 1; }
}
[ -z "$(missing_packages build)" ] || quietly "installing packages" install_packages build
# A build folder that is there keeps its options; a new one needs no test or bench package.
options=()
[ -e build/release/CMakeCache.txt ] || options=(-DIOL_TESTS=OFF -DIOL_BENCH=OFF)
quietly "configuring" cmake --preset release "${options[@]}"
quietly "building build/release/bin/iolaus" cmake --build build/release --target iolaus_program -j "$(nproc)"

config=$(ls -d bench/zoo/*/config.json | head -1)
model=$(dirname "$config")
out=build/demo/hydra.db
sweep=(build/release/bin/iolaus run --model "$model" --prompts "$model/prompts.jsonl" --do attn_out,mlp_out=zero,resample:15 --out $out)
printf '\n$'
printf ' %q' "${sweep[@]}"
printf '\n\n'
if [ -e $out ]; then # results of another model or another version of the numbers are replaced
    "${sweep[@]}" --quiet >build/demo/log 2>&1 && { cat build/demo/log; exit 0; }
    grep -qE 'another experiment|not a results file|another version' build/demo/log || { cat build/demo/log >&2; exit 1; }
    rm -f $out $out-wal $out-shm
fi
"${sweep[@]}"
