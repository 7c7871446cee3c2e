#!/usr/bin/env bash
# The kernels against their goals: prints the cells, then one line per goal, `goal ID measured TARGET met|missed|skipped
# REASON`, worst first. Short (at most 5 minutes) or --full. Exit 1 if a goal is missed, 2 if it could not be run.
#   bench/kernels.sh [--full] [--only K0,K1a,..] [--threads 1,2] [--seconds S] [--cells F.tsv]
# Peers: bench/README.md. IOL_BUILD: the build folder (default: build/release, built if need be).
set -euo pipefail
cd "$(dirname "$0")/.."
build=${IOL_BUILD:-build/release}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{
    [ -f "$build/CMakeCache.txt" ] || cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release
    cmake --build "$build" --target iolaus_bench
} >"$log" 2>&1 || { cat "$log" >&2; echo "bench/kernels.sh: the bench could not be built" >&2; exit 2; }
bench=$build/bin/iolaus_bench

read -r load _ </proc/loadavg
echo "load average $load on $(nproc) processors at the start"
# Large temporaries given back to the system would be faulted in again by whoever comes next.
export MALLOC_MMAP_MAX_=${MALLOC_MMAP_MAX_:-0} MALLOC_TRIM_THRESHOLD_=${MALLOC_TRIM_THRESHOLD_:-8589934592}
exec "$bench" --goals "$@"
