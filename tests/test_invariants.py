#!/usr/bin/env python3
"""One experiment has one digest, whatever must not matter; another experiment has another one.
    test_invariants.py PROGRAM [MODEL_FOLDER...]     folders with prompts.jsonl, swept beside small random models"""
import glob, json, os, random, re, shutil, signal, sys, time

from checks import Checks, flip_bit, tiny_model, write_prompts

DO = ["--do", "attn_out,mlp_out=zero,resample:3", "--do", "head.1.*=zero,mean,resample:2", "--metrics", "hydra,dist"]
REUSE = ["none", "depth", "position", "donor", "depth,position", "depth,donor", "position,donor", "depth,position,donor", "all"]


def isas(c):
    text = c.run("info").stdout
    return re.findall(r"^  (\w+) +available", text, re.M)


def spill_bytes(c, words):
    found = re.search(r"^ *spill +(\d+)", c.run("run", *words, "--plan").stdout, re.M)
    return int(found[1]) if found else -1


def least_memory(c, words):
    """KiB that the program says it needs."""
    found = re.search(r"needs at least (\d+) KiB", c.run("run", *words, "--memory", "1K").stderr)
    return int(found[1]) if found else 0


def same_everywhere(c, name, words, reuse):
    """The digest of `words`, the same over ISA, threads, reuse, group and budget."""
    want = c.digest(*words)
    c.that(f"{name}: has a digest", re.fullmatch("[0-9a-f]{32}", want), want)

    def same(what, *more):
        found = c.digest(*words, *more)
        c.that(f"{name}: same bits: {what}", found == want, f"found {found}, expected {want}")

    for isa in isas(c):
        same(f"isa {isa}", "--isa", isa)
    for threads in (1, 2, 3):
        same(f"threads {threads}", "--threads", threads)
    for axes in reuse:
        same(f"reuse {axes}", "--reuse", axes)
    same("reuse none, another isa, 3 threads", "--reuse", "none", "--isa", "scalar", "--threads", 3)
    for group in (1, 3):
        same(f"group {group}", "--group", group)
        same(f"group {group}, reuse none", "--group", group, "--reuse", "none")
    for number in (1, 4):
        wide = [*words, "--group", 2, "--threads", 1]
        memory = least_memory(c, wide) * number + 1
        spilled = spill_bytes(c, [*wide, "--memory", f"{memory}K"])
        if number == 1:
            c.that(f"{name}: the least budget spills", spilled > 0, f"spill {spilled} bytes with {memory}K")
        same(f"memory {memory}K, spill {spilled} bytes", "--group", 2, "--threads", 1, "--memory", f"{memory}K", "--spill", c.work)
    c.that(f"{name}: a large budget does not spill", spill_bytes(c, [*words, "--memory", "4G"]) == 0)
    same("memory 4G", "--memory", "4G")
    return want


def other_experiments(c, model, words, want):
    prompts = os.path.join(model, "prompts.jsonl")
    tensor = "model.layers.1.mlp.up_proj.weight"
    flipped = flip_bit(model, c.path("flipped"), tensor)
    eps = c.path("eps")
    shutil.copytree(model, eps)
    with open(f"{eps}/config.json") as f:
        config = json.load(f)
    config["rms_norm_eps"] = 2e-5
    with open(f"{eps}/config.json", "w") as f:
        json.dump(config, f)
    lines = open(prompts).read().splitlines()
    changed = c.path("changed.jsonl")
    row = json.loads(lines[3])
    row["tokens"][0] = (row["tokens"][0] + 1) % 300
    open(changed, "w").write("\n".join([*lines[:3], json.dumps(row), *lines[4:]]) + "\n")
    base = ["--model", model, "--prompts", prompts]
    others = {
        "seed": [*base, *DO, "--seed", 7],
        "kinds": [*base, "--do", "attn_out,mlp_out=zero,resample:2", *DO[2:]],
        "sites": [*base, *DO[:2], "--do", "head.2.*=zero,mean,resample:2", *DO[4:]],
        "metrics": [*base, *DO[:4], "--metrics", "hydra"],
        "prompts": ["--model", model, "--prompts", changed, *DO],
        "prompts: ": [*base, *DO, "--limit", 20],
        "weights": ["--model", flipped, "--prompts", prompts, *DO],
        "architecture": ["--model", eps, "--prompts", prompts, *DO],
    }
    out = c.path("mine.db")
    c.that("a finished file", c.digest(*words, "--out", out) == want)
    before = open(out, "rb").read()
    for what, other in others.items():
        found = c.digest(*other)
        c.that(f"another digest: {what}", found != want and re.fullmatch("[0-9a-f]{32}", found), found)
        c.refused(f"refused on the same --out by name: {what}", what.strip(": ") if what != "sites" else "head", "run", *other, "--out", out)
    c.that("refusals left the file as it was", open(out, "rb").read() == before)
    c.that("and it still has its digest", c.digest(*words, "--out", out) == want)


def interrupted(c, model):
    """kill -9 and Ctrl-C at several moments, resumed until finished."""
    prompts = c.path("many.jsonl")
    write_prompts(prompts, 300, 300, random.Random(5))
    words = ["--model", model, "--prompts", prompts, "--do", "attn_out,mlp_out=resample:9", "--do", "head.1.0=zero,mean", "--group", 1,
             "--threads", 1]
    begin = time.monotonic()
    want = c.digest(*words, "--out", c.path("whole.db"))
    whole = time.monotonic() - begin
    c.that("long run: has a digest", re.fullmatch("[0-9a-f]{32}", want), want)
    partial = 0
    for moment in (0.02, 0.1, 0.2, 0.3, 0.5, 0.9):
        out = c.path(f"kill-{moment}.db")
        status, _, running = c.signalled(signal.SIGKILL, moment * whole, "run", *words, "--out", out)
        result = c.run("run", *words, "--out", out)
        said = re.search(r"^resumed: (\d+) of (\d+)$", result.stderr, re.M)
        partial += bool(said) and 0 < int(said[1]) < int(said[2])
        c.that(f"kill -9 after {moment:.0%} of the time: resumed to the same bits (" + (said[0] if said else "nothing stored yet") + ")",
               result.returncode == 0 and f"digest {want}\n" in result.stdout and (said is None or said[2] == "300"),
               f"running {running}, status {status}, then {result.returncode}\n{result.stderr}")
    c.that("some kills left a part of the results", partial >= 2, f"{partial} of 6")
    out, kills = c.path("many-kills.db"), 0
    for _ in range(6):
        _, _, running = c.signalled(signal.SIGKILL, 0.15 * whole, "run", *words, "--out", out)
        kills += running
    found = c.digest(*words, "--out", out)
    c.that(f"{kills} kills of one run: the same bits", kills > 0 and found == want, found)
    stops = partial = 0
    for moment in (0.1, 0.25, 0.4):
        out = c.path(f"stop-{moment}.db")
        status, text, running = c.signalled(signal.SIGINT, moment * whole, "run", *words, "--out", out)
        if status == 0 or not running:
            continue
        stops += 1
        c.that(f"Ctrl-C after {moment:.0%}: status 130, and how to resume", status == 130 and "run the same command again to resume" in text,
               f"status {status}\n{text}")
        left = [os.path.basename(p) for p in glob.glob(out + "*")]
        c.that("Ctrl-C: no journal is left", left in ([os.path.basename(out)], []), left)
        result = c.run("digest", out)
        c.that("Ctrl-C: an unfinished file has no digest", result.returncode == 1 and "300" in result.stderr, result.stdout + result.stderr)
        result = c.run("run", *words, "--out", out, "--reuse", "none", "--threads", 1, "--isa", "scalar", "--group", 3)
        said = re.search(r"^resumed: (\d+) of 300$", result.stderr, re.M)
        partial += said is not None
        c.that("Ctrl-C: resumed under other settings, the same bits (" + (said[0] if said else "nothing stored yet") + ")",
               f"digest {want}\n" in result.stdout, result.stderr)
    c.that("Ctrl-C came in time at least once, and left a part of the results", stops > 0 and partial > 0, f"{stops} stops, {partial} partial")


def main():
    c = Checks(sys.argv[1])
    model = tiny_model(c.path("llama"), "llama")
    words = ["--model", model, "--prompts", f"{model}/prompts.jsonl", *DO]
    want = same_everywhere(c, "llama", words, REUSE)
    other_experiments(c, model, words, want)
    gpt2 = tiny_model(c.path("gpt2"), "gpt2")
    same_everywhere(c, "gpt2", ["--model", gpt2, "--prompts", f"{gpt2}/prompts.jsonl", *DO], ["none", "depth,donor", "position"])
    interrupted(c, model)
    for folder in sys.argv[2:]:
        few = ["--model", folder, "--prompts", f"{folder}/prompts.jsonl", "--limit", 8, *DO]
        same_everywhere(c, os.path.basename(folder.rstrip("/")), few, ["none", "donor"])
    c.end()


main()
