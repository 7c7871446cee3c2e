#!/bin/bash
# Sweeps against independent reference results (the folder of references is not part of the tree).
#   tests/test_goldens.sh PROGRAM REFERENCE_FOLDER
set -u
program=$(cd "$(dirname "$1")" && pwd)/$(basename "$1") references=$2
cd "$(dirname "$0")/.." || exit 1
. tests/checks.sh
export MODELS=$PWD/build/models PATH=$(dirname "$program"):$PATH
mkdir -p "$MODELS"
check "models from the references' checkpoints" python3 "$references/models/to_hf.py" all "$MODELS"
for golden in stories15M stories260K gpt2 llama-gqa; do
    export GOLDEN=$references/oracle/goldens/$golden OUT=$work/$golden
    if [ ! -e "$GOLDEN/golden.json" ]; then
        skip "golden $golden" "$GOLDEN is not there"
        continue
    fi
    check "golden $golden: the sweep runs" sh "$GOLDEN/command"
    python3 "$references/oracle/check_golden.py" "$GOLDEN/golden.json" "$OUT.json" >"$work/log" 2>&1
    status=$?
    sed 's/^/        /' "$work/log"
    [ $status -eq 0 ] && ok "golden $golden: agrees" || bad "golden $golden: agrees"
    echo "note    $golden: $(tail -1 "$work/log" | sed 's/.*: //')"
done
for name in gpt2:gpt2-tokenizer smollm2:smollm2 stories15M: stories260K:; do
    list=$references/oracle/goldens/tokenizer-${name%%:*}.jsonl folder=$references/models/${name#*:}
    [ -n "${name#*:}" ] || folder=$MODELS/${name%%:*}
    if [ ! -e "$folder/tokenizer.json" ] || [ ! -e "$list" ]; then
        skip "tokenizer ${name%%:*}" "no $folder/tokenizer.json or $list"
        continue
    fi
    "$program" tokenize "$folder" --jsonl "$list" >"$work/ids" 2>"$work/log" </dev/null
    python3 - "$list" "$work/ids" >>"$work/log" 2>&1 <<'PY'
import json, sys
want = [" ".join(map(str, json.loads(line)["ids"])) for line in open(sys.argv[1]) if line.strip()]
found = open(sys.argv[2]).read().split("\n")[:-1]
wrong = [i for i in range(max(len(want), len(found))) if i >= len(want) or i >= len(found) or want[i] != found[i]]
print(f"{len(want)} texts, {len(wrong)} differ, the first: {wrong[:5]}")
sys.exit(bool(wrong) or not want)
PY
    [ $? -eq 0 ] && ok "tokenizer ${name%%:*}: $(tail -1 "$work/log")" || bad "tokenizer ${name%%:*}"
done
check_end
