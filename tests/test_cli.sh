#!/bin/bash
# The iolaus program as a user meets it: help, sentences, exit statuses, every command once.
#   tests/test_cli.sh PROGRAM MODEL_FOLDER [MAN_PAGE]
# MODEL_FOLDER holds a Hugging Face model, its tokenizer.json and prompts.jsonl (>= 30 text prompts).
# Prints one line per check and `N passed, N failed, N skipped`; fails if a check failed.
set -u
unset IOL_ISA
program=$1 model=$2
page=${3:-$(dirname "$0")/../docs/iolaus.1}
prompts=$model/prompts.jsonl
for file in "$program" "$prompts"; do
    [ -e "$file" ] || { echo "$file: not there"; echo "0 passed, 1 failed, 0 skipped"; exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0

ok() { passed=$((passed + 1)); echo "ok      $1"; }
bad() {
    failed=$((failed + 1))
    echo "FAILED  $1"
    sed 's/^/        | /' "$work/err" "$work/out" 2>/dev/null | head -8
}
skip() { skipped=$((skipped + 1)); echo "skipped $1"; }

# check NAME STATUS PATTERN WORDS...: run the program; its status is STATUS and standard output and error
# together hold the extended regular expression PATTERN ('' matches anything). Fast arithmetic that was measured to be no
# faster, again and again, is skipped: false then.
check() {
    local name=$1 status=$2 pattern=$3 found
    shift 3
    "$program" "$@" >"$work/out" 2>"$work/err" </dev/null
    found=$?
    if [ "$found" -eq "$status" ] && { [ -z "$pattern" ] || cat "$work/out" "$work/err" | grep -qE -- "$pattern"; }; then
        ok "$name"
    elif [ "$program" = "$work/steady" ] && grep -q 'would be of no use' "$work/err"; then
        skip "$name (measured to be no faster just now)"
        return 1
    else
        echo "exit status $found, expected $status, and '$pattern'" >>"$work/err"
        bad "$name"
    fi
}
# refuse NAME STATUS PATTERN WORDS...: as check, and standard error is one sentence, standard output empty.
refuse() {
    check "$@"
    if [ "$(wc -l <"$work/err")" -eq 1 ] && grep -q '^iolaus: ' "$work/err" && [ ! -s "$work/out" ]; then
        ok "$1: one sentence"
    else
        bad "$1: one sentence"
    fi
}
# that NAME: the status of the command before decides.
that() { if [ $? -eq 0 ]; then ok "$1"; else bad "$1"; fi; }

# --- help and the command line ---------------------------------------------------------------------
check "help" 0 '^usage:' --help
options=$(grep -oE '(^|[ ,])--[a-z][a-z-]*' "$work/out" | tr -d ' ,' | sort -u)
for word in run export digest inspect tokenize info attn_out mlp_out head resample hydra dist depth position donor scalar llama gpt2; do
    grep -qw -- "$word" "$work/out" || { echo "no word $word" >>"$work/err"; false; break; }
done
that "help names commands, sites, kinds, metrics, reuse axes, instruction sets, families"
grep -q 'attn_out,mlp_out=zero,resample:15)' "$work/out"
that "help lists the default sweep"
[ "$(awk 'length > 80' "$work/out" | wc -l)" -eq 0 ]
that "help fits 80 columns"
for command in run export digest inspect tokenize info; do
    check "help of $command" 0 "usage: iolaus $command" "$command" --help
done
check "version" 0 '^iolaus [0-9]+\.[0-9]+\.[0-9]+ \(numerics [0-9]+\)$' --version
refuse "no command" 2 'found no command'
refuse "unknown command" 2 "unknown command 'rum'; did you mean 'run'" rum
refuse "unknown option" 2 "did you mean '--prompts'" run --promts x
refuse "option of another command" 2 "takes no option '--format'" run --format csv
refuse "option without its value" 2 "'--model' needs a value" run --model
refuse "option in place of a value" 2 "found the option '--plan'" run --out --plan
refuse "malformed number" 2 "--threads: found 'two', expected a whole number" run --threads two
refuse "malformed size" 2 "--memory: found '1X'" run --memory 1X
refuse "number beyond 64 bits" 2 "--seed: found" run --seed 99999999999999999999
refuse "value for a flag" 2 'takes no value' run --plan=yes
refuse "superfluous argument" 2 "unexpected argument 'x'" info x
refuse "run without a model" 2 "needs --model" run --prompts x
refuse "run without prompts" 2 "needs --prompts" run --model x
refuse "export without a file" 2 "needs F.db" export
refuse "unknown export format" 2 "found 'xml', expected json or csv" export x.db --format xml

# --- the man page ------------------------------------------------------------------------------------
if [ -f "$page" ]; then
    paged=$(grep -oE -- 'Fl -[a-z][a-z-]*' "$page" | sed 's/^Fl -/--/' | sort -u)
    [ "$options" = "$paged" ]
    that "the man page has the options of --help"
    if command -v mandoc >/dev/null; then
        mandoc -T lint -W warning "$page" >"$work/out" 2>&1
        that "the man page is clean in mandoc"
    else
        skip "the man page is clean in mandoc (mandoc is not installed)"
    fi
else
    skip "the man page has the options of --help ($page is not there)"
fi

# --- info, inspect, tokenize -------------------------------------------------------------------------
check "info" 0 'gemm_f32 ' info
grep -qE 'peak +[1-9][0-9.]* [kMGT]?FLOP/s' "$work/out"
that "info measures the peak"
check "info of one thread, scalar" 0 'gemm_f32 +scalar' info --threads 1 --isa scalar
IOL_ISA=scalar check "IOL_ISA is read" 0 'gemm_f32 +scalar' info
refuse "unknown instruction set" 1 "sse9" info --isa sse9
IOL_ISA=sse9 check "--isa goes before IOL_ISA" 0 'gemm_f32 +scalar' info --isa scalar
check "inspect" 0 'weights hash +[0-9a-f]{32}' inspect "$model"
layers=$(awk '$1 == "layers" {print $2}' "$work/out")
heads=$(awk '$1 == "heads" {print $2}' "$work/out")
[ "$(grep -cE '^ +[0-9]+ +[0-9]+ +(attention|mlp) ' "$work/out")" -eq $((2 * layers)) ]
that "inspect lists two steps per layer"
refuse "inspect of nothing" 1 "/nowhere" inspect /nowhere
text=$(head -1 "$prompts" | sed -E 's/.*"prompt": *"([^"\\]*)".*/\1/')
check "tokenize a text" 0 '^[0-9]+( [0-9]+)*$' tokenize "$model" "$text"
ids=$(cat "$work/out")
head -1 "$prompts" >"$work/one.jsonl"
check "tokenize JSONL" 0 "^$ids\$" tokenize "$model" --jsonl "$work/one.jsonl"
[ "$(printf '%s\n' "$text" | "$program" tokenize "$model")" = "$ids" ]
that "tokenize standard input"
check "tokenize all prompts" 0 '' tokenize "$model" --jsonl "$prompts"
[ "$(wc -l <"$work/out")" -eq "$(grep -c . "$prompts")" ]
that "one line per text"
refuse "tokenize with text and file" 2 'found both TEXT and --jsonl' tokenize "$model" x --jsonl y
refuse "tokenize with an unknown bos" 2 "found 'maybe'" tokenize "$model" x --bos maybe
refuse "tokenize not UTF-8" 1 'UTF-8' tokenize "$model" $'a\xff'
printf '{"text":"a"}\n{"words":"a"}\n' >"$work/two.jsonl"
check "tokenize names the line" 1 'two.jsonl:2: ' tokenize "$model" --jsonl "$work/two.jsonl"

# --- what run refuses --------------------------------------------------------------------------------
quick=(run --model "$model" --prompts "$prompts" --limit 30 --threads 1 --quiet)
refuse "model folder that is not there" 1 '/nowhere' run --model /nowhere --prompts "$prompts"
refuse "prompts that are not there" 1 '/nowhere' run --model "$model" --prompts /nowhere
refuse "unknown site" 1 "no site matches 'attn'; this model has" "${quick[@]}" --do attn=zero
refuse "head beyond the model" 1 "head.0.0 to head.$((layers - 1)).$((heads - 1))" "${quick[@]}" --do "head.$layers.*=zero"
refuse "site not built" 1 "resid_pre.*not built yet" "${quick[@]}" --do resid_pre=zero
refuse "kind not built" 1 "kind 'noise' is not built yet; built: zero, mean, resample:R" "${quick[@]}" --do attn_out=noise:1
refuse "unknown kind" 1 "unknown kind 'nought'" "${quick[@]}" --do attn_out=nought
refuse "positions not built" 1 "positions: scope 'all' is not built yet" "${quick[@]}" --positions all
refuse "reuse not built" 1 "'prefix' is not built yet" "${quick[@]}" --reuse prefix
refuse "unknown metric" 1 "metrics: found 'kl'" "${quick[@]}" --metrics hydra,kl
refuse "unknown filter" 1 "filter: found 'best'" "${quick[@]}" --filter best
refuse "seed of 2^63" 1 "less than 2\^63" "${quick[@]}" --seed 9223372036854775808
refuse "too many donors" 1 'resample:30 needs at least 31 prompts' "${quick[@]}" --do attn_out=resample:30
bad_line() { # NAME PATTERN LINE
    printf '%s\n\n%b\n' "$(head -1 "$prompts")" "$3" >"$work/bad.jsonl"
    refuse "$1" 1 "bad.jsonl:3: .*$2" run --model "$model" --prompts "$work/bad.jsonl" --do attn_out=zero
}
bad_line "prompts: bad JSON" 'expected one JSON object' '{"prompt":'
bad_line "prompts: not UTF-8" 'byte 11 .*UTF-8' '{"prompt":"\xff"}'
bad_line "prompts: empty text" '`prompt` is empty' '{"prompt":""}'
bad_line "prompts: neither field" 'neither' '{"text":"a"}'
bad_line "prompts: token out of range" 'expected an id from 0' '{"tokens":[99999999]}'
bad_line "prompts: longer than the context" 'tokens, expected at most' "{\"tokens\":[$(seq -s, 100000 | sed 's/[0-9]*/1/g')]}"
: >"$work/bad.jsonl"
refuse "prompts: empty file" 1 'bad.jsonl: found no prompts' run --model "$model" --prompts "$work/bad.jsonl"

# --- run, resume, export, digest ---------------------------------------------------------------------
small=("${quick[@]}" --do attn_out=zero,resample:2 --do "head.1.*=mean")
check "plan" 0 'branches +[1-9]' "${small[@]}" --plan
[ "$(awk 'length > 80' "$work/out" | wc -l)" -eq 0 ]
that "the plan fits 80 columns"
check "run" 0 '^digest [0-9a-f]{32}$' "${small[@]}" --out "$work/a.db"
[ "$(awk 'length > 80' "$work/out" | grep -v '^results ' | wc -l)" -eq 0 ]
that "table and bill fit 80 columns"
hash=$(awk '$1 == "digest" {print $2}' "$work/out")
check "digest" 0 "^$hash  $work/a.db\$" digest "$work/a.db"
check "run again has nothing left to do" 0 "^digest $hash\$" "${small[@]}" --out "$work/a.db"
"$program" run --model "$model" --prompts "$prompts" --limit 30 --do attn_out=zero,resample:2 --do "head.1.*=mean" --out "$work/a.db" \
    >"$work/out" 2>"$work/err" && grep -q 'resumed: 30 of 30' "$work/err"
that "a resumed run says so"
check "run in memory, other group and reuse" 0 "^digest $hash\$" "${small[@]}" --group 7 --reuse depth,position
check "run under another instruction set" 0 "^digest $hash\$" "${small[@]}" --isa scalar
check "another seed" 0 '^digest' "${small[@]}" --seed 1
! grep -q "$hash" "$work/out"
that "another seed has another digest"
refuse "another experiment on the same file" 1 "a.db.*seed" "${small[@]}" --seed 1 --out "$work/a.db"
check "export JSON" 0 '"schema": *"iolaus-1"' export "$work/a.db"
cp "$work/out" "$work/printed.json"
check "export JSON to a file" 0 '' export "$work/a.db" --format json -o "$work/a.json"
cmp -s "$work/printed.json" "$work/a.json"
that "both exports are equal"
if command -v python3 >/dev/null; then
    python3 -c 'import json, sys
d = json.load(open(sys.argv[1]))
assert d["spec"]["n_prompts"] == 30 and len(d["prompts"]) == 30
assert d["spec"]["kinds"] == ["zero", "mean", "resample:2"], d["spec"]["kinds"]
assert d["spec"]["do"][0] == {"sites": "attn_out", "kinds": "zero,resample:2"}' "$work/a.json" 2>"$work/err"
    that "the export is JSON with the experiment as given"
else
    skip "the export is JSON with the experiment as given (python3 is not installed)"
fi
check "export CSV" 0 'delta_ablate' export "$work/a.db" --format csv
[ "$(wc -l <"$work/out")" -eq $((1 + 30 * (2 * layers + heads))) ]
that "one CSV row per effect"
# --- arithmetic --------------------------------------------------------------------------------------
refuse "unknown arithmetic" 1 "arithmetic: found 'quick', expected exact, fast, bf16, bf16x32 or int8" "${quick[@]}" --arithmetic quick
refuse "fast arithmetic without its instruction sets" 1 "arithmetic: fast" "${quick[@]}" --isa scalar --arithmetic fast
# Whether it is faster is measured by every process: a measurement that was disturbed is taken again, after a while (what
# disturbs stays for seconds).
exact_program=$program
cat >"$work/steady" <<EOF
#!/bin/bash
for pause in 0 0 1 1 1 2 2 2 3 3 3; do
    sleep \$pause
    "$program" "\$@" >"$work/steady.out" 2>"$work/steady.err"
    status=\$?
    grep -hv '^  bf16\|^  int8' "$work/steady.out" "$work/steady.err" | grep -q 'would be of no use' || break
done
cat "$work/steady.out"
cat "$work/steady.err" >&2
exit \$status
EOF
chmod +x "$work/steady"
program=$work/steady
check "info tells about fast arithmetic" 0 '^  fast' info
# By the name of its format: fast alone may choose another one in a disturbed moment.
format=$(sed -n 's/^  fast  *fast (\(bf16x32\|bf16\|int8\) .*/\1/p' "$work/out")
if [ -n "$format" ]; then
    if check "a fast run names itself and its error" 0 'logits differ from exact ones by [0-9.]+e-0[2-9]' "${small[@]}" --arithmetic "$format" --out "$work/fast.db"; then
        check "its export does" 0 '"arithmetic":{"name":"fast .*"error_rms":[0-9.]+e-0[2-9]' export "$work/fast.db"
        refuse "it is another experiment than exact" 1 'numerics: found 1 fast .*, expected 1$' "${small[@]}" --out "$work/fast.db"
        if check "a fast run without reuse" 0 '' "${small[@]}" --arithmetic "$format" --reuse none --threads 1 --out "$work/fast1.db"; then
            [ "$("$program" digest "$work/fast.db" | cut -d' ' -f1)" = "$("$program" digest "$work/fast1.db" | cut -d' ' -f1)" ]
            that "its digest does not depend on reuse and threads"
        fi
        [ "$("$program" digest "$work/fast.db" | cut -d' ' -f1)" != "$("$program" digest "$work/a.db" | cut -d' ' -f1)" ]
        that "its digest is not that of exact"
    fi
elif grep -q '^  fast .*would be of no use' "$work/out"; then
    skip "fast runs (measured to be no faster here)"
else
    refuse "fast arithmetic is refused by name" 1 "arithmetic: fast" "${quick[@]}" --arithmetic fast
    skip "fast runs (this processor has no faster arithmetic)"
fi
program=$exact_program
check "an exact export says so" 0 '"arithmetic":{"name":"exact"}' export "$work/a.db"

refuse "export of nothing" 1 '/nowhere.db' export /nowhere.db
refuse "export into nowhere" 1 '/nowhere/x' export "$work/a.db" -o /nowhere/x
printf 'no results file' >"$work/no.db"
refuse "export of another file" 1 'no.db' export "$work/no.db"
refuse "digest of another file" 1 'no.db' digest "$work/no.db"
refuse "results into a folder that is not there" 1 '/nowhere' "${small[@]}" --out /nowhere/x.db

# --- stopping ----------------------------------------------------------------------------------------
long=(run --model "$model" --prompts "$prompts" --group 1 --threads 1)
"$program" "${long[@]}" --out "$work/b.db" >"$work/out" 2>"$work/err" &
job=$!
for _ in $(seq 300); do # until the first waves are stored, 30 s at most
    "$program" digest "$work/b.db" 2>&1 | grep -qE '[^0-9][1-9][0-9]* of' && break
    kill -0 $job 2>/dev/null || break
    sleep 0.1
done
kill -TERM $job 2>/dev/null
wait $job
status=$?
if [ $status -eq 0 ]; then
    skip "a signal stops at the next wave with status 130 (the run was faster)"
else
    [ $status -eq 130 ] && grep -q 'run the same command again to resume' "$work/err"
    that "a signal stops at the next wave with status 130 and says how to resume"
    check "the stopped run is resumed" 0 'resumed: [0-9]+ of [0-9]+' "${long[@]}" --out "$work/b.db"
    one=$("$program" digest "$work/b.db" | cut -c1-32)
    two=$("$program" run --model "$model" --prompts "$prompts" --quiet | awk '$1 == "digest" {print $2}')
    [ -n "$one" ] && [ "$one" = "$two" ]
    that "and ends with the digest of an undisturbed run"
fi

# --- standard output that fails ----------------------------------------------------------------------
if [ -w /dev/full ]; then
    for words in "--help" "info" "tokenize $model x" "export $work/a.db"; do
        # shellcheck disable=SC2086
        "$program" $words >/dev/full 2>"$work/err"
        [ $? -eq 1 ] && grep -q 'cannot write standard output' "$work/err"
        that "a full disk is noticed: ${words%% *}"
    done
else
    skip "a full disk is noticed (/dev/full is not there)"
fi
mkfifo "$work/pipe"
head -c 1 "$work/pipe" >/dev/null &
{ sleep 0.2; "$program" export "$work/a.db" 2>"$work/err"; echo $? >"$work/status"; } >"$work/pipe"
[ "$(cat "$work/status")" -ne 0 ]
that "a closed pipe is noticed"

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
