#!/usr/bin/env python3
"""What goes wrong around the program: outputs that cannot be written, damaged results, budgets, settings. Each is one sentence, and
results that were there before stay as they were.
    test_faults.py PROGRAM"""
import hashlib, json, os, random, re, resource, shutil, subprocess, sys

from checks import Checks, tiny_model, write_prompts


def checksum(path):
    return hashlib.sha256(open(path, "rb").read()).hexdigest()


def unprivileged(c, *words):
    """The program as a user who may write nothing."""
    return subprocess.run([c.program, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=c.env, user=65534, group=65534, extra_groups=[])


def outputs(c, words, want):
    """Places where results cannot be written."""
    c.refused("out in a folder that is not there", "/nowhere", "run", *words, "--out", c.path("nowhere/x.db"))
    c.refused("out is a folder", c.work, "run", *words, "--out", c.work)
    c.refused("out below a file", "file/x.db", "run", *words, "--out", os.path.join(write(c, "file", "x"), "x.db"))
    done = c.path("done.db")
    c.that("a finished file", c.digest(*words, "--out", done) == want)
    before = checksum(done)
    c.refused("export over a folder", c.work, "export", done, "-o", c.work)
    c.refused("export into a folder that is not there", "nowhere", "export", done, "-o", c.path("nowhere/x.json"))
    c.refused("spill folder that is not there", "nowhere", "run", *words, "--group", "1", "--memory", f"{least(c, words)}K",
              "--spill", c.path("nowhere"))
    small = c.path("small")
    if os.geteuid() == 0:
        folder = c.path("guarded")
        os.mkdir(folder)
        out = os.path.join(folder, "x.db")
        shutil.copy(done, out)
        os.chmod(out, 0o444)
        os.chmod(folder, 0o555)
        os.chmod(c.work, 0o755)
        try:
            unprivileged(c, "--version")
        except PermissionError:
            c.skip("read-only results", "an unprivileged user cannot start the program here")
        else:
            for extra, what in (([], "finished results that are read-only"), (["--seed", "3"], "another experiment on read-only results")):
                result = unprivileged(c, "run", *words, "--quiet", "--out", out, *extra)
                c.that(what + ": one sentence, unchanged", result.returncode == 1 and result.stderr.count("\n") == 1
                       and out in result.stderr and checksum(out) == before, f"status {result.returncode}\n{result.stderr}")
            result = unprivileged(c, "run", *words, "--quiet", "--out", os.path.join(folder, "new.db"))
            c.that("a read-only folder: one sentence", result.returncode == 1 and result.stderr.count("\n") == 1 and "new.db" in result.stderr,
                   f"status {result.returncode}\n{result.stderr}")
        os.mkdir(small)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", small], stderr=subprocess.DEVNULL).returncode == 0:
            try:
                c.refused("a full disk", f"{small}/x.db", "run", *words, "--out", f"{small}/x.db", "--quiet")
                c.refused("a full disk, export", f"{small}/x.json", "export", done, "-o", f"{small}/x.json")
                c.that("a full disk: no half export", not os.path.exists(f"{small}/x.json"))
                c.refused("no space for the spill", small, "run", *words, "--group", "1", "--memory", f"{least(c, words)}K", "--spill", small)
            finally:
                subprocess.run(["umount", small])
        else:
            c.skip("a full disk", "tmpfs cannot be mounted here")
    else:
        c.skip("read-only results, a full disk", "needs root")
    big = c.path("limited.db")
    limited = subprocess.run([c.program, "run", *map(str, words), "--quiet", "--out", big], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, env=c.env,
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, 64 << 10)))
    c.that("a file that may not grow", limited.returncode == 1 and limited.stderr.count("\n") == 1 and big in limited.stderr,
           f"status {limited.returncode}\n{limited.stderr}")
    c.that("resumed where there is room, the same bits", c.digest(*words, "--out", big) == want)
    c.that("the finished file is unchanged", checksum(done) == before)
    return done


def least(c, words):
    found = re.search(r"needs at least (\d+) KiB", c.run("run", *words, "--group", "1", "--memory", "1K").stderr)
    return int(found[1]) + 1 if found else 1


def write(c, name, data):
    path = c.path(name)
    with open(path, "wb" if isinstance(data, bytes) else "w") as f:
        f.write(data)
    return path


def damaged(c, words, done, want):
    """Results files that are not what they should be."""
    whole = open(done, "rb").read()
    files = {"text.db": b"This is not a database, only some text that is long enough to be taken for one. " * 20,
             "cut.db": whole[:len(whole) // 2], "stub.db": whole[:50]}
    rng = random.Random(3)
    for i in range(12):
        broken = bytearray(whole)
        for _ in range(40):
            broken[rng.randrange(100, len(broken))] = rng.randrange(256)
        files[f"broken{i}.db"] = bytes(broken)
    for name, data in files.items():
        path = write(c, name, data)
        for command in (["digest", path], ["export", path, "-o", c.path("x.json")], ["run", *words, "--quiet", "--out", path]):
            before = checksum(path)
            try:
                result = c.run(*command, timeout=120)
            except subprocess.TimeoutExpired:
                c.that(f"{name}: {command[0]} ends", False)
                continue
            sentence = result.returncode == 1 and result.stderr.count("\n") == 1 and name in result.stderr
            harmless = name.startswith("broken") and result.returncode == 0  # the damage hit what this command does not read
            c.that(f"{name}: {command[0]}: " + ("not noticed there" if harmless else "one sentence"), sentence or harmless,
                   f"status {result.returncode}\n{result.stderr}")
            if sentence and command[0] != "run" or not name.startswith("broken") and sentence:
                c.that(f"{name}: unchanged", checksum(path) == before)
    empty = write(c, "empty.db", b"")
    c.refused("an empty file has no digest", "empty.db", "digest", empty)
    import sqlite3
    other = c.path("other.db")
    db = sqlite3.connect(other)
    db.execute("CREATE TABLE birds (name TEXT)")
    db.execute("INSERT INTO birds VALUES ('wren')")
    db.commit()
    db.close()
    before = checksum(other)
    for command in (["digest", other], ["export", other], ["run", *words, "--quiet", "--out", other]):
        c.refused(f"a database of something else: {command[0]}", "other.db", *command)
    c.that("the other database is unchanged", checksum(other) == before)


def settings(c, model, words, done):
    """Unknown and impossible settings, with a finished file as --out: it must not change."""
    before = checksum(done)
    base = ["run", *words[:4], "--quiet", "--out", done]
    for name, part, more in (
            ("memory too small", "needs at least", ["--memory", "1K"]),
            ("unknown site", "no site matches 'attn'", ["--do", "attn=zero"]),
            ("site not built", "resid_post", ["--do", "resid_post=zero"]),
            ("glob that matches nothing", "head.9.*", ["--do", "head.9.*=zero"]),
            ("unknown kind", "unknown kind 'one'", ["--do", "attn_out=one"]),
            ("kind not built", "patch", ["--do", "attn_out=patch"]),
            ("resample without a number", "resample", ["--do", "attn_out=resample"]),
            ("resample:0", "resample", ["--do", "attn_out=resample:0"]),
            ("more donors than prompts", "resample:24", ["--do", "attn_out=resample:24"]),
            ("no kinds", "attn_out", ["--do", "attn_out="]),
            ("no equals sign", "attn_out", ["--do", "attn_out"]),
            ("unknown metric", "'loss'", ["--metrics", "loss"]),
            ("unknown reuse", "'widths'", ["--reuse", "widths"]),
            ("reuse not built", "prefix", ["--reuse", "depth,prefix"]),
            ("unknown positions", "'middle'", ["--positions", "middle"]),
            ("positions not built", "all", ["--positions", "all"]),
            ("unknown filter", "'wrong'", ["--filter", "wrong"]),
            ("unknown bos", "'perhaps'", ["--bos", "perhaps"]),
            ("unknown isa", "'mmx'", ["--isa", "mmx"]),
            ("too many threads", "threads", ["--threads", "100000"])):
        c.refused(name, part, *base, *more)
    c.that("results are unchanged", checksum(done) == before)
    config = json.load(open(f"{model}/config.json"))
    for name, part, change in (("family", "mamba", {"model_type": "mamba"}), ("activation", "relu", {"hidden_act": "relu"}),
                               ("rope type", "yarn", {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}})):
        folder = shutil.copytree(model, c.path("model-" + name.replace(" ", "-")))
        json.dump({**config, **change}, open(f"{folder}/config.json", "w"))
        c.refused(f"{name} not built", part, "inspect", folder)


def main():
    c = Checks(sys.argv[1])
    model = tiny_model(c.path("llama"), "llama")
    words = ["--model", model, "--prompts", f"{model}/prompts.jsonl", "--do", "attn_out,head.0.*=zero,resample:2"]
    want = c.digest(*words)
    c.that("undisturbed: has a digest", re.fullmatch("[0-9a-f]{32}", want), want)
    done = outputs(c, words, want)
    damaged(c, words, done, want)
    settings(c, model, words, done)
    c.end()


main()
