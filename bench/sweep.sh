#!/usr/bin/env bash
# The sweep beside what people use today (PyTorch forward hooks; the strongest PyTorch written by hand), taking turns on
# the same prompts and donors; then the same sweep without any reuse. Compare only within one run.
#   bench/sweep.sh [--model FOLDER] [--prompts F.jsonl] [--limit N] [--tokens T] [--threads N] [--rounds N] [--do KINDS]
#                  [--modes LIST] [--no-peers] [--no-none]
# Environment: IOL_PYTHON (a Python with torch and transformers; default python3), IOL_PEER_SWEEP (peer_sweep.py; default
# ../shared/peers/peer_sweep.py), IOL_BUILD (build folder; default build/release, built if need be).
set -euo pipefail
cd "$(dirname "$0")/.."
build=${IOL_BUILD:-build/release}
model='' prompts='' limit=32 tokens='' threads=1 rounds=9 kinds=zero,resample:15 modes=hf-hooks,hf-prefix-skip peers=yes none=yes
while [ $# -gt 0 ]; do
    case $1 in
    --no-peers) peers=no; shift; continue ;;
    --no-none) none=no; shift; continue ;;
    --model | --prompts | --limit | --tokens | --threads | --rounds | --modes) [ $# -ge 2 ] || { echo "bench/sweep.sh: $1 needs a value" >&2; exit 2; }
        declare "${1#--}=$2" ;;
    --do) [ $# -ge 2 ] || { echo "bench/sweep.sh: --do needs a value" >&2; exit 2; }
        kinds=$2 ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift 2
done
if [ -z "$model" ]; then
    for config in bench/zoo/*/config.json; do
        [ -f "$config" ] && model=$(dirname "$config") && break
    done
fi
[ -n "$model" ] || { echo "bench/sweep.sh: no model in bench/zoo, and no --model" >&2; exit 2; }
prompts=${prompts:-$model/prompts.jsonl}
[ -f "$prompts" ] || { echo "bench/sweep.sh: $prompts: no such file" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
{
    [ -f "$build/CMakeCache.txt" ] || cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release
    cmake --build "$build" --target iolaus_program
} >"$work/log" 2>&1 || { cat "$work/log" >&2; echo "bench/sweep.sh: the program could not be built" >&2; exit 2; }
iolaus=$(cd "$build" && pwd)/bin/iolaus
export MALLOC_MMAP_MAX_=${MALLOC_MMAP_MAX_:-0} MALLOC_TRIM_THRESHOLD_=${MALLOC_TRIM_THRESHOLD_:-8589934592}

# --- peers ------------------------------------------------------------------------------------------------------------
python=${IOL_PYTHON:-python3}
peer=${IOL_PEER_SWEEP:-../shared/peers/peer_sweep.py}
reason=
if [ $peers = no ]; then
    reason="--no-peers"
elif [ ! -f "$peer" ]; then
    reason="$peer: no such file (IOL_PEER_SWEEP)"
elif ! "$python" -c 'import torch, transformers, numpy' 2>/dev/null; then
    reason="$python has no torch, transformers or numpy (IOL_PYTHON)"
fi
if [ -n "$reason" ]; then
    for mode in ${modes//,/ }; do
        echo "skipped $mode: $reason"
    done
else
    "$python" -c 'import torch, transformers; print("peers: torch", torch.__version__, "transformers", transformers.__version__)'
    # The time of iolaus is its own bill: capture, waves, noise floor (which no peer computes), spill and store; a peer's
    # leaves out loading, packing and the donors' clean passes.
    MKL_THREADING_LAYER=GNU KMP_BLOCKTIME=0 "$python" "$peer" --model "$model" --prompts "$prompts" --limit "$limit" \
        ${tokens:+--tokens "$tokens"} --threads "$threads" --rounds "$rounds" --do "$kinds" --modes "$modes" --ext-name iolaus \
        --ext "$iolaus run --quiet --model {model} --prompts {prompts} --limit {limit} --threads {threads} --seed {seed} --do attn_out,mlp_out={do} --out {out}.db" \
        --ext-check "$iolaus export {out}.db --format json -o {out}.json" \
        --ext-seconds '\ntotal .* ([0-9.]+)\n' | tee "$work/peers"
    "$python" - "$work/peers" <<'PYTHON'
import json, statistics, sys
times = {}
for line in open(sys.argv[1]):
    try:
        event = json.loads(line)
    except ValueError:
        continue
    if event.get("event") == "time":
        times.setdefault(event["mode"], {})[event["round"]] = event["s_per_prompt"]
ours = times.pop("iolaus", {})
for mode, theirs in times.items():
    ratios = sorted(theirs[r] / ours[r] for r in theirs if r in ours)
    if ratios:
        print(f"ratio {mode} / iolaus: {statistics.median(ratios):.2f} [{ratios[0]:.2f} {ratios[-1]:.2f}] ({len(ratios)} rounds, "
              f"iolaus {statistics.median(ours.values()):.5f} s/prompt)")
PYTHON
fi

# --- without any reuse ------------------------------------------------------------------------------------------------
if [ $none = no ]; then
    echo "skipped reuse none: --no-none"
else
    "$iolaus" run --quiet --measure-none --model "$model" --prompts "$prompts" --limit "$limit" --threads "$threads" \
        --do "attn_out,mlp_out=$kinds" >"$work/none"
    sed -n '/^The bill/,$p' "$work/none"
fi
