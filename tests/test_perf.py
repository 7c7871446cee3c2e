#!/usr/bin/env python3
"""test_perf.py BUILD_DIR: the scripts and programs of perf/ on figures that are known, and what they print.

Ends with `N passed, N failed, N skipped`; exit status 1 if anything failed."""
import importlib.machinery
import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

sys.dont_write_bytecode = True  # the scripts have no suffix: nothing is left beside them

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
counts = {"passed": 0, "failed": 0, "skipped": 0}


def check(name, faults):
    counts["failed" if faults else "passed"] += 1
    print(f"{'FAILED ' if faults else 'ok     '} {name}")
    for fault in list(faults)[:10]:
        print(f"        | {fault}")


def script(name):
    loader = importlib.machinery.SourceFileLoader(f"perf_{name}", f"{ROOT}/perf/{name}")
    spec = importlib.util.spec_from_loader(loader.name, loader)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def differs(found, wanted):
    return [] if found == wanted else [f"found {found!r}, expected {wanted!r}"]


# --- roofline ---

PEAK = {"cpu": "Test", "isa": "avx512", "compiler": "0", "fma_gflops": {"scalar": {"1": 12.0}, "avx2": {"1": 100.0}, "avx512": {"1": 110.0}},
        "bandwidth_gbytes": {level: {"read": {"1": read}, "update": {"1": update}} for level, read, update in
                             (("L1", 190, 250), ("L2", 100, 150), ("L3", 80, 100), ("DRAM", 20, 18))}}


def row(name, rate, intensity, level, **more):
    return {"name": f"{name}/manual_time", "GFLOP/s": rate, "GB/s": rate / intensity, "level": level, "peak%": 100 * rate / 110, "roof%": 50.0, **more}


def bench_rows():
    """Thirty ops, close together as real ones are, and two drivers; slower cases and cases without figures beside them."""
    out = []
    for i in range(30):
        for isa, factor in (("avx512", 1), ("avx2", .7), ("scalar", .05)):
            rate, intensity = factor * 20 * 1.06 ** (i % 13), .08 * 1.11 ** i
            out += [row(f"kernel/op{i:02d}_f32/{isa}/n:768", rate, intensity, 1), row(f"kernel/op{i:02d}_f32/{isa}/n:9", rate / 2, intensity, 2)]
    out += [row("gemm/iolaus/k:768/n:3072/m:1/t:1/cold", 9, .5, 4), row("attention/causal/t:512/d:64/gqa:1", 80, 60, 2)]
    out.append({"name": "kernel/none_f32/avx512/n:1/manual_time", "error_occurred": True, "GFLOP/s": 1, "GB/s": 1, "level": 1})
    return out


def check_roofline():
    roofline = script("roofline")
    points = roofline.points_of(bench_rows())
    check("roofline: the fastest case of each op and ISA", differs(len(points), 92) + differs({p["case"] for p in points if p["isa"]}, {"n:768"}))
    text = roofline.draw(points, PEAK, "avx512", "a machine & its <compiler>")
    tree = xml.fromstring(text)
    name = "{http://www.w3.org/2000/svg}"
    labels = [node for node in tree.iter(f"{name}text") if node.get("class") == "label"]
    wanted = {f"op{i:02d}" for i in range(30)} | {"gemm driver m 1 cold", "attention driver causal d 64"}
    check("roofline: every kernel of the ISA has its point and label",
          differs({node.text for node in labels}, wanted) + differs(text.count("<title>"), 32))
    boxes = []
    for node in labels:
        middle, bottom, half = float(node.get("x")), float(node.get("y")), roofline.width_of(node.text) / 2
        boxes.append((node.text, (middle - half, bottom - 10, middle + half, bottom + 3)))
    outside = [f"{text} at {box}" for text, box in boxes if not (0 < box[0] and box[2] < roofline.WIDTH and 0 < box[1] and box[3] < roofline.HEIGHT)]
    covered = [f"{a[0]} and {b[0]}" for a, b in itertools.combinations(boxes, 2) if roofline.overlap(a[1], b[1]) > 1]
    check("roofline: labels are inside and do not cover each other", outside + covered)
    drawn = [node for node in tree.iter(f"{name}path") if "roof" in (node.get("class") or "")]
    axes = roofline.Axes([p for p in points if p["isa"] in (None, "avx512")], roofline.roofs_of(PEAK)[0], 110)
    ends = {node.get("class").split()[1]: float(re.search(r"L([\d.]+) ", node.get("d"))[1]) for node in drawn}
    faults = [f"{level}: {ends.get(level)}, not {axes.x(110 / speed):.1f}" for level, speed in (("L1", 250), ("L2", 150), ("L3", 100), ("DRAM", 20))
              if level not in ends or abs(ends[level] - axes.x(110 / speed)) > .1]
    check("roofline: roofs end where bandwidth meets the peak", faults)
    check("roofline: both themes", [] if "prefers-color-scheme:dark" in text and 'class="bg"' in text else ["one theme only"])
    lines = [line for line in roofline.table(points, PEAK, list(PEAK["fma_gflops"]), "a machine").splitlines() if re.match(r"\| (op|gemm|attention)", line)]
    check("roofline: the table has every ISA", differs(len(lines), 92) + differs(lines[0], "| op00_f32 | avx512 | n:768 | L1 | 0.08 | 20 | 18 | 50 |"))


# --- record ---

LOG = """load average 0.10 on 2 processors at the start
machine Test CPU; avx512; 2 threads; L1 32 KiB, L2 1024 KiB, L3 32768 KiB; iolaus 0.1.0
peer onednn: 2.6.3
skipped peer mkl: not found
setting OMP_NUM_THREADS=2
goal K1a 0.970 1.00 missed t 2, cold M <= 128; 13 cells, 2 missed; worst k 3072
goal K0 1.040 0.90 met t 1
goal K2 - 1.85 skipped not built
"""


def check_record():
    record = script("record")
    cells = record.cells_of("cell\tk\tn\twhere\tratio\ngemm\t288\t768\tcold\t1.25\ncell\tt\tshare\nattention\t16\t0.5\nattention\t32\tnan\n")
    out = record.record_of(LOG, cells, {**PEAK, "l3_bytes": 5}, {"cells": []}, None, "abc", "2026-11-22")
    faults = differs([(goal["id"], goal["measured"], goal["target"], goal["result"]) for goal in out["goals"]],
                     [("K1a", .97, 1.0, "missed"), ("K0", 1.04, .9, "met"), ("K2", None, 1.85, "skipped")])
    faults += differs(out["cells"], [{"cell": "gemm", "k": 288, "n": 768, "where": "cold", "ratio": 1.25},
                                     {"cell": "attention", "t": 16, "share": .5}, {"cell": "attention", "t": 32}])
    faults += differs(out["peers"], ["peer onednn: 2.6.3", "skipped peer mkl: not found"]) + differs(out["settings"], ["OMP_NUM_THREADS=2"])
    faults += differs((out["machine"]["cpu"], out["machine"]["l3_bytes"], out["commit"]), ("Test", 5, "abc"))
    check("record: goals, cells, peers, machine", faults)
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("log", LOG), ("cells.tsv", "k\tn\n1\t2\n"), ("peak.json", json.dumps(PEAK)), ("empty", "no goals\n")):
            with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
                file.write(text)
        words = [f"{ROOT}/perf/record", "a-machine", "--folder", folder, "--peak", f"{folder}/peak.json", "--cells", f"{folder}/cells.tsv", "--log"]
        good = subprocess.run([*words, f"{folder}/log"], capture_output=True, text=True)
        faults = differs(good.returncode, 0)
        if good.returncode == 0:
            with open(good.stdout.strip(), encoding="utf-8") as file:
                kept = json.load(file)
            faults += differs((len(kept["goals"]), kept["cells"]), (3, [{"k": 1, "n": 2}]))
        bad = subprocess.run([*words, f"{folder}/empty"], capture_output=True, text=True)
        check("record: a file from a run, none without goals", faults + differs(bad.returncode, 1))
    faults = []
    for name in sorted(os.listdir(f"{ROOT}/perf/records")):
        with open(f"{ROOT}/perf/records/{name}", encoding="utf-8") as file:
            kept = json.load(file)
        faults += [f"{name} lacks {key}" for key in ("date", "machine", "commit") if key not in kept]
    check("record: those in the tree name date, machine and commit", faults)


# --- instructions, mca, abdiff ---

def check_instructions():
    gate = script("instructions")
    dump = "version: 1\ndesc: Trigger: Client Request: kernel/add_f32/avx2/n:768\nevents: Ir\nsummary: 479\n\ntotals: 479\n"
    end = "version: 1\ndesc: Trigger: Program termination\nsummary: 1\n"
    check("instructions: dumps of callgrind", differs(gate.parse_dump(dump), ("add_f32/avx2/n:768", 479)) + differs(gate.parse_dump(end), None))
    stored = {"same": 1000, "little": 1000, "slower": 1000, "faster": 1000, "gone": 5}
    rows = gate.compare({"same": 1000, "little": 1004, "slower": 1006, "faster": 994, "new": 7}, stored)
    check("instructions: 0.5 % either way, cases of one side", differs([case for case, fault in rows if fault], ["faster", "gone", "new", "slower"]))
    text = gate.write_table("gcc 1.2.3", stored)
    check("instructions: the table reads back", differs(gate.read_table(text), ("gcc 1.2.3", stored)))


def check_mca():
    mca = script("mca")
    rows = [("1x48", 12, 3, 17, [37.4, 37.0], "latency of FMAs"), ("8x48", 96, 24, 49, [95.0, 94.0], "issue width")]
    compilers = {"avx512": "GCC: 12"}

    def faults_with(stored, changed=rows):
        return [bool(fault) for _, fault, _ in mca.check_all({("gemm_f32", "avx512"): changed}, compilers, stored)]
    same = {("gemm_f32", "avx512"): ("GCC: 12", {"1x48": [37, 37], "8x48": [95, 94]})}
    check("mca: agreement", differs(faults_with(same), [False, False]))
    check("mca: a tile below the target, and other than stored", differs(faults_with(same, [rows[0], ("8x48", 96, 24, 49, [88.0, 94.0], "x")]), [True, True]))
    check("mca: a body that is not stored", differs(faults_with({("gemm_f32", "avx512"): ("GCC: 12", {"8x48": [95, 94]})}), [False, True]))
    check("mca: another compiler is not compared", differs(faults_with({("gemm_f32", "avx512"): ("GCC: 13", {})}), [False, False]))
    loop = [(0, "vmovups", "(%rax),%zmm1"), (6, "nopw", "0x0(%rax)"), (12, "jne", "0 <tile+0x0>")]
    check("mca: a loop as llvm-mca reads it", differs(mca.assembly_of(loop), ".Lloop:\n\tvmovups\t(%rax),%zmm1\n\tjne\t.Lloop\n"))
    with open(f"{ROOT}/perf/mca.md", encoding="utf-8") as file:
        stored = mca.read_table(file.read())
    low = [f"{kernel} {isa}: {max(shares[0] for shares in bodies.values())} %" for (kernel, isa), (_, bodies) in stored.items()
           if kernel in mca.GATED and max(shares[0] for shares in bodies.values()) < mca.TARGET]
    check(f"mca: the table in the tree, {len(stored)} kernels", low + ([] if {isa for _, isa in stored} == set(mca.MODELS) else ["an ISA is missing"]))


def check_abdiff():
    abdiff = script("abdiff")
    low, high = [1 + .001 * i for i in range(15)], [2 + .001 * i for i in range(15)]
    faults = [] if abdiff.mann_whitney(low, high) < 1e-4 else ["separate samples are not told apart"]
    faults += [] if abdiff.mann_whitney(low, low) > .9 else ["equal samples are told apart"]
    check("abdiff: the rank test", faults)


# --- programs ---

def run(*words):
    return subprocess.run(words, capture_output=True, text=True, timeout=300)


def check_programs(build):
    for name in ("iolaus_peak", "iolaus_scaling"):
        help_text, wrong = run(f"{build}/bin/{name}", "--help"), run(f"{build}/bin/{name}", "--nonsense")
        check(f"{name}: --help, and a word it does not know", differs((help_text.returncode, wrong.returncode), (0, 2))
              + ([] if "usage: " in help_text.stdout and "usage: " in wrong.stderr else ["no usage"]))
    peak = run(f"{build}/bin/iolaus_peak", "--rounds", "1")
    faults = differs(peak.returncode, 0)
    if not faults:
        out = json.loads(peak.stdout)
        threads = {"1", str(out["threads"])}
        figures = [out["clock_ghz"], *out["fma_gflops"].values()]
        figures += [by for level in ("L1", "L2", "L3", "DRAM") for by in out["bandwidth_gbytes"][level].values()]
        faults += [f"{by}" for by in figures if not all(value > 0 for value in by.values())]
        faults += [f"{by} lacks a thread count" for by in figures[1:] if not threads <= set(by)]
        faults += [] if out["isa"] in out["fma_gflops"] and "scalar" in out["fma_gflops"] else ["an ISA is missing"]
        one = {level: max(by["1"] for by in out["bandwidth_gbytes"][level].values()) for level in ("L1", "DRAM")}
        faults += [] if one["L1"] > one["DRAM"] else ["L1 is not faster than memory"]
    check("iolaus_peak: JSON of every level and thread count", faults)
    with tempfile.TemporaryDirectory() as folder:
        scaling = run(f"{build}/bin/iolaus_scaling", "--rounds", "1", "--prompts", "17", "--json", f"{folder}/s.json")
        faults = differs(scaling.returncode, 0) + ([scaling.stderr] if scaling.stderr else [])
        if scaling.returncode == 0:
            with open(f"{folder}/s.json", encoding="utf-8") as file:
                out = json.load(file)
            ones = [cell for cell in out["cells"] if cell["threads"] == 1]
            faults += differs(len(ones), 3) + differs({cell["speedup"] for cell in ones}, {1.0})
            faults += [f"{cell}" for cell in out["cells"] if not (cell["gflops"] > 0 and cell["efficiency"] > 0)]
            faults += differs(max(cell["threads"] for cell in out["cells"]), len(out["processors"])) + differs(len(set(out["processors"])), len(out["processors"]))
            faults += [] if scaling.stdout.startswith("placement: ") else ["no placement"]
    check("iolaus_scaling: JSON of every case and thread count", faults)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    check_roofline()
    check_record()
    check_instructions()
    check_mca()
    check_abdiff()
    check_programs(sys.argv[1])
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    sys.exit(1 if counts["failed"] else 0)


main()
