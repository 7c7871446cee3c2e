#!/usr/bin/env python3
"""check_tree.py SOURCE_DIR [NM BUILD_DIR]: the rules of the tree that no compiler checks.

  - kernels/registry.def: every row has its file, every kernel file its row and the symbol of its name; every op has a
    scalar row, a reference and, where it is written once for all ISAs, a template in use;
  - file names are unique;
  - rooms include only what lies below them (ROOMS);
  - with NM and BUILD_DIR: library objects call nothing that prints, exits or reads the environment, and micro-kernels
    nothing but SLEEF.
Prints one line per rule. Exit status 1: a rule is broken, or a rule had nothing to look at."""
import glob
import os
import re
import subprocess
import sys

# What each room of runtime/ may include besides itself and include/iolaus.
ROOMS = {
    "base": {"kernels"},
    "model": {"base", "kernels", "driver"},
    "intervene": {"model", "base"},
    "metric": {"model", "base", "kernels", "driver"},
    "store": {"base"},
    "report": {"store", "base"},
    "schedule": {"intervene", "metric", "store", "model", "base", "kernels", "driver"},
    "cli": set(),
}
# Single headers of plain data that other rooms share.
SHARED = {
    "store/results.h": {"metric"},                   # the record of one branch, which metrics fill
    "metric/statistics.h": {"store", "report"},      # statistics are computed from stored values
    "intervene/experiment.h": {"store", "report"},   # the experiment that the results belong to
    "intervene/sites.def": {"store", "report"},
}
FORBIDDEN = set("""abort exit _exit _Exit quick_exit atexit getenv secure_getenv system printf vprintf puts putchar putc
    fputs fputc fprintf vfprintf dprintf perror stdout stderr __printf_chk __vprintf_chk __fprintf_chk __vfprintf_chk
    __dprintf_chk""".split())
KERNEL_CALLS = r"^(Sleef_\w+|iolk_\w+|__assert_fail|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_)$"
SAME_NAME = {"CMakeLists.txt", "README.md"}


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def check_registry(root):
    kernels, faults = os.path.join(root, "kernels"), []
    folders = dict(re.findall(r"^ISA\((\w+),\s*\w+,\s*(\w+)", read(kernels, "isa.def"), re.M))
    rows = re.findall(r"^KERNEL\((\w+),\s*(\w+),\s*(\w+)\)", read(kernels, "registry.def"), re.M)
    ops = {f"{op}_{dtype}" for op, dtype in
           re.findall(r"\bO\((\w+), (\w+)\)", re.search(r"#define IOLK_OPS\(O\)(.*?)\n\n", read(kernels, "ops.h"), re.S)[1])}
    files = {os.path.relpath(path, kernels) for folder in set(folders.values())
             for path in glob.glob(os.path.join(kernels, folder, "*.c"))}
    faults += [f"kernels/isa.def has no row for {isa}" for isa in sorted({isa for *_, isa in rows} - set(folders))]
    wanted = {f"{folders[isa]}/{op}_{dtype}_{isa}.c" for op, dtype, isa in rows if isa in folders}
    faults += [f"kernels/registry.def has a row for kernels/{name}, which is missing" for name in sorted(wanted - files)]
    faults += [f"kernels/{name} has no row in kernels/registry.def" for name in sorted(files - wanted)]
    for name in sorted(files & wanted):
        symbol = f"iolk_{os.path.basename(name)[:-2]}"
        if not re.search(rf"\b{symbol}\b", read(kernels, name)):
            faults.append(f"kernels/{name} does not define {symbol}")
    if len(rows) != len(set(rows)):
        faults.append("kernels/registry.def has a row twice")
    faults += [f"kernels/registry.def: {op} has no scalar row" for op in
               sorted(ops - {f"{op}_{dtype}" for op, dtype, isa in rows if isa == "scalar"})]
    faults += [f"kernels/registry.def: {op} is not in ops.h" for op in
               sorted({f"{op}_{dtype}" for op, dtype, _ in rows} - ops)]
    references = {os.path.basename(path)[:-len("_ref.c")] for path in glob.glob(os.path.join(kernels, "ref", "*_ref.c"))}
    faults += [f"kernels/ref/{op}_ref.c is missing" for op in sorted(ops - references)]
    faults += [f"kernels/ref/{op}_ref.c is of no op" for op in sorted(references - ops)]
    fast = {op % row for row in re.findall(r"^FAST\((\w+), (\w+),", read(kernels, "fast", "fast.def"), re.M)
            for op in ("gemm_%sdot_%s", "round_%s_%s")}
    here = {os.path.basename(path)[:-2] for path in glob.glob(os.path.join(kernels, "fast", "*_*.c"))}
    faults += [f"kernels/fast: {name} has a row in fast.def or a file, not both" for name in sorted(fast ^ here)]
    text = "".join(read(kernels, name) for name in files)
    for path in glob.glob(os.path.join(kernels, "tmpl", "*.h")):
        if f"tmpl/{os.path.basename(path)}" not in text:
            faults.append(f"kernels/tmpl/{os.path.basename(path)} is used by no kernel")
    return f"{len(rows)} rows of {len(ops)} ops, {len(files)} kernel files", len(rows) and len(files), faults


def sources(root):
    for top in ("include", "kernels", "runtime", "bench", "tests", "perf"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in names:
                if name.endswith((".c", ".h", ".def", ".cc", ".py", ".sh")):
                    yield os.path.relpath(os.path.join(folder, name), root)


def check_names(root):
    seen, faults = {}, []
    for path in sources(root):
        name = os.path.basename(path)
        if name in seen and name not in SAME_NAME:
            # the public header and its private counterpart share a noun
            if not {os.path.dirname(path), os.path.dirname(seen[name])} & {"include/iolaus"}:
                faults.append(f"{path} and {seen[name]} have the same name")
        seen[name] = path
    return f"{len(seen)} file names", len(seen), faults


def room_of(root, path, header):
    """Where `#include "header"` in path leads: (room, file), room None if it is nowhere."""
    bases = (os.path.dirname(path), "runtime", "kernels", "include", "tests")
    for base in bases:
        target = os.path.normpath(os.path.join(base, header))
        if os.path.exists(os.path.join(root, target)):
            parts = target.split("/")
            if parts[0] == "runtime":
                return parts[1], target
            if parts[0] == "kernels":
                return ("driver" if parts[1] in ("driver", "ref") else "kernels"), target
            return parts[0], target
    return None, header


def check_layers(root):
    count, faults = 0, []
    for path in sources(root):
        parts = path.split("/")
        if parts[0] not in ("runtime", "kernels", "include") or path.endswith(".py"):
            continue
        for header in re.findall(r'^\s*#\s*include\s+"([^"]+)"', read(root, path), re.M):
            count += 1
            room, target = room_of(root, path, header)
            if room is None:
                faults.append(f'{path} includes "{header}", which is nowhere')
            elif parts[0] == "include":
                if room != "include":
                    faults.append(f"{path}: a public header includes {target}")
            elif parts[0] == "kernels":
                inside = parts[1] in ("driver", "ref")
                if room not in (("kernels", "driver", "include") if inside else ("kernels",)):
                    faults.append(f"{path}: kernels include {target}")
            elif room not in (parts[1], "include") and room not in ROOMS.get(parts[1], set()):
                if parts[1] not in SHARED.get(re.sub("^runtime/", "", target), set()):
                    faults.append(f"{path}: runtime/{parts[1]} includes {target}")
    return f"{count} includes", count, faults


def undefined(nm, path):
    text = subprocess.run([nm, "-u", path], check=True, capture_output=True, text=True).stdout
    return {word.split("@")[0] for word in re.findall(r"^\s+[Uw] (\S+)", text, re.M)}


def check_symbols(nm, build):
    count, kernels, faults = 0, 0, []
    for path in sorted(glob.glob(os.path.join(build, "CMakeFiles", "iol_*.dir", "**", "*.o"), recursive=True)):
        is_kernel = re.search(r"iol_kernels_\w+\.dir", path)
        if not is_kernel and not re.search(r"iol_(objects|driver)\.dir", path):
            continue
        calls, name = undefined(nm, path), os.path.basename(path)[:-2]
        count, kernels = count + 1, kernels + bool(is_kernel)
        faults += [f"{name} calls {call}" for call in sorted(calls & FORBIDDEN)]
        if is_kernel:
            faults += [f"{name}, a micro-kernel, calls {call}" for call in sorted(calls - FORBIDDEN)
                       if not re.match(KERNEL_CALLS, call) and not re.match("^__(asan|ubsan|tsan)", call)]
    return f"symbols of {count} objects, {kernels} of them kernels", kernels and count > kernels, faults


def main():
    if len(sys.argv) not in (2, 4):
        sys.exit(__doc__)
    root, failed = os.path.abspath(sys.argv[1]), False
    results = [check_registry(root), check_names(root), check_layers(root)]
    if len(sys.argv) == 4:
        results.append(check_symbols(*sys.argv[2:]))
    for what, seen, faults in results:
        print(f"{what}: {'WRONG' if faults or not seen else 'ok'}")
        for fault in faults:
            print(f"    {fault}")
        failed |= bool(faults) or not seen
    sys.exit(1 if failed else 0)


main()
