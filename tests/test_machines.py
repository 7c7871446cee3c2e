#!/usr/bin/env python3
"""Another build or another processor gives the same bits as the reference program, or refuses in one sentence.
    test_machines.py REFERENCE COMMAND... PROGRAM            COMMAND: an emulator and its options, or nothing
    test_machines.py REFERENCE --refuse COMMAND... PROGRAM   the emulated processor is too old
    test_machines.py REFERENCE --emulate AVX512_VM           the reference program inside the AVX-512 emulator"""
import os, re, subprocess, sys

from checks import Checks, tiny_model

DO = ["--do", "attn_out,mlp_out=zero,resample:3", "--do", "head.1.*=zero,mean", "--metrics", "hydra,dist"]


def output(command, env=None):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=900, env=env)
    return result.returncode, result.stdout, result.stderr


def digest_of(status, out, err):
    found = re.search(r"^digest ([0-9a-f]{32})$", out, re.M)
    return found[1] if status == 0 and found else f"status {status}: {err.strip()}"


def main():
    c = Checks(sys.argv[1])
    mode = sys.argv[2] if sys.argv[2] in ("--refuse", "--emulate") else ""
    command = sys.argv[3:] if mode else sys.argv[2:]
    models = [tiny_model(c.path(family), family, 6) for family in ("llama", "gpt2")]
    words = {m: ["run", "--model", m, "--prompts", f"{m}/prompts.jsonl", *DO, "--quiet"] for m in models}
    kernels = os.path.join(os.path.dirname(c.program), "test_kernels")

    if mode == "--refuse":
        for asked in (["info"], words[models[0]], ["inspect", models[0]]):
            status, out, err = output([*command, *asked])
            c.that(f"{asked[0]}: one sentence and status 1", status == 1 and not out and err.count("\n") == 1 and "lacks FMA" in err,
                   f"status {status}\n{out}\n{err}")
        for asked in (["--help"], ["--version"]):
            status, out, err = output([*command, *asked])
            c.that(f"{asked[0]} still works", status == 0 and "iolaus" in out, f"status {status}\n{err}")
        c.end()
    if mode == "--emulate":
        vm = [sys.executable, command[0], "--timeout", "800"]
        if os.geteuid() == 0:
            status, out, err = output([sys.executable, command[0], "--install"])
            c.that("the emulator is installed", status == 0, out + err)
        m = models[0]
        few = [*words[m], "--limit", "4", "--threads", "1"]
        want = digest_of(*output([c.program, *few], c.env))
        found = digest_of(*output([*vm, "--file", m, "--", c.program, *few, "--isa", "avx512"]))
        c.that("a sweep on AVX-512 has the same digest", found == want, f"found {found}, expected {want}")
        status, want, _ = output([kernels, "--digest", "--quick"], c.env)
        status, found, err = output([*vm, "--env", "IOL_ISA=avx512", "--", kernels, "--digest", "--quick"])
        c.that("every AVX-512 kernel has the same digest", status == 0 and want and found == want, f"status {status}\n{err}\n{found}\n{want}")
        c.end()

    status, out, err = output([*command, "info"], c.env)
    isas = re.findall(r"^  (\w+) +available", out, re.M)
    c.that(f"runs: {' '.join(isas)}", status == 0 and isas, f"status {status}\n{err}")
    for m in models:
        want = digest_of(*output([c.program, *words[m]], c.env))
        for isa in isas:
            found = digest_of(*output([*command, *words[m], "--isa", isa], c.env))
            c.that(f"{os.path.basename(m)}, {isa}: the same digest", found == want, f"found {found}, expected {want}")
    m = models[0]
    want = digest_of(*output([c.program, *words[m]], c.env))
    found = digest_of(*output([*command, *words[m], "--reuse", "none", "--threads", "2", "--group", "1"], c.env))
    c.that("reuse none, 2 threads, group 1: the same digest", found == want, f"found {found}, expected {want}")
    status, want, _ = output([kernels, "--digest", "--quick"], c.env)
    mine = [*command[:-1], os.path.join(os.path.dirname(command[-1]), "test_kernels")]
    status, found, err = output([*mine, "--digest", "--quick"], c.env)
    c.that("every kernel has the same digest", status == 0 and want and found == want, f"status {status}\n{err}\n{found}\n{want}")
    c.end()


main()
