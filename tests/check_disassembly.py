#!/usr/bin/env python3
"""check_disassembly.py OBJDUMP BUILD_DIR: what the compiler made of the kernels.

Looks at the kernel objects of an optimised build (gcc or clang, x86-64 or AArch64):
  - gemm, mix where it is a tile of gemm, and the probe of the FMA peak: every innermost loop that multiplies does so with FMAs of the ISA's full registers (zmm, ymm, v.4s) and with
    no scalar ones (half registers where a name ends with _by_halves), and touches no vector register on the stack: an
    accumulator that lives in memory costs more than the arithmetic;
  - the other kernels that are written in FMAs have such a loop;
  - scalar objects have no packed FMA at all.
Prints one line per object. Exit status 1: something is wrong, or nothing was found to check."""
import glob
import os
import re
import subprocess
import sys

# Operands of full-width FMAs, per ISA (AT&T syntax on x86).
WIDE = {"avx2": (r"^vfn?m(add|sub)\d*p[sd]$", r"%ymm"), "avx512": (r"^vfn?m(add|sub)\d*p[sd]$", r"%zmm"),
        "avx512bf16": (r"^vdpbf16ps$", r"%zmm"), "avx512vnni": (r"^vpdpbusd$", r"%zmm"),
        "amxbf16": (r"^tdpbf16ps$", r"%tmm"),
        "neon": (r"^fml[as]$", r"v\d+\.(4s|2d)"), "neonbf16": (r"^bfdot$", r"v\d+\.4s"), "neondot": (r"^sdot$", r"v\d+\.4s")}
# Functions named *_by_halves read memory by half registers on purpose.
HALF = {"avx512": r"%ymm"}
FMA = r"^(vfn?m(add|sub)\d*[ps][sd]|vdpbf16ps|vpdpbusd|tdpbf16ps|fn?m(add|sub)|fml[as]|bfdot|sdot)$"
SCALAR_FMA = r"^(vfn?m(add|sub)\d*s[sd]|fn?m(add|sub))$"
VECTOR = r"%[xyz]mm\d|\b[qv]\d+\b"
# Ops other than gemm whose loops are FMAs of vectors. (chains is scalar on purpose where it is no transposition.)
WIDENED = r"^gemm_(bf16|f16|q80|q40|q41|q4k)$"  # constants of a block may lie on the stack: they are operands there
GEMMS = ("gemm_f32", "gemm_bf16dot", "gemm_bf16x32dot", "gemm_int8dot")
OWN_MIX = ("avx2", "avx512")  # where mix_f32 is a GEMM's tile with a triangle; elsewhere it calls gemm_f32
OWN_PANELS = ("avx512",)  # where panels_f32 has loops of its own; elsewhere it calls gemm_f32
FMA_OPS = ("mix_f32", "rmsnorm_f32", "layernorm_f32", "rope_f32", "dot_f64", "ssq_f64")


def functions(listing):
    """name -> [(address, mnemonic, operands)]"""
    out, body = {}, None
    for line in listing.splitlines():
        head = re.match(r"^[0-9a-f]+ <([^>]+)>:$", line)
        row = re.match(r"^\s+([0-9a-f]+):\t(\S+)\s*(.*)$", line)
        if head:
            body = out.setdefault(head[1], [])
        elif row and body is not None:
            words = (row[2] + " " + row[3]).split(None, 1)
            body.append((int(row[1], 16), words[0], words[1] if len(words) > 1 else ""))
    return out


def loops(body):
    """Innermost loops that hold an FMA, as lists of instructions: what lies between a jump back and its target."""
    if not body:
        return []
    found = set()
    for address, name, operands in body:
        target = re.search(r"\b([0-9a-f]+) <", operands)
        if re.match(r"^(j|b$|b\.|cbn?z|tbn?z)", name) and target:
            first = int(target[1], 16)
            if body[0][0] <= first <= address:
                found.add((first, address))
    inside = {span: [row for row in body if span[0] <= row[0] <= span[1]] for span in found}
    inside = {span: rows for span, rows in inside.items() if any(re.match(FMA, row[1]) for row in rows)}
    return [rows for span, rows in inside.items()
            if not any(other != span and span[0] <= other[0] and other[1] <= span[1] for other in inside)]


def on_stack(body, operands):
    frame = any(re.match(r"^mov\s", name + " ") and re.match(r"^(%rsp,%rbp|x29, sp)", text) for _, name, text in body)
    base = r"\(%rsp|\[sp" + (r"|\(%rbp|\[x29" if frame else "")
    return re.search(base, operands) and re.search(VECTOR, operands)


def check_gemm(isa, listing):
    """(loops seen, list of faults)"""
    name_of, full = WIDE[isa]
    seen, faults = 0, []
    for function, body in functions(listing).items():
        registers = HALF.get(isa, full) if function.endswith("_by_halves") else full
        for rows in loops(body):
            seen += 1
            where = f"{function}+{rows[0][0] - body[0][0]:#x}"
            if not any(re.match(name_of, name) and re.search(registers, text) for _, name, text in rows):
                faults.append(f"{where}: the loop has no {isa} FMA of full registers")
            for address, name, text in rows:
                if re.match(SCALAR_FMA, name):
                    faults.append(f"{where}: scalar FMA: {name} {text}")
                if on_stack(body, text):
                    faults.append(f"{where}: a vector register on the stack: {address:x}: {name} {text}")
    if not seen:
        faults.append("no loop with an FMA was found")
    return seen, faults


def check_vector(isa, listing):
    name_of, registers = WIDE[isa]
    seen = sum(any(re.match(name_of, name) and re.search(registers, text) for _, name, text in rows)
               for body in functions(listing).values() for rows in loops(body))
    return seen, [] if seen else [f"no loop with a {isa} FMA of full registers"]


def check_scalar(listing):
    rows = [row for body in functions(listing).values() for row in body]
    packed = [f"packed FMA: {name} {text}" for _, name, text in rows
              if re.match(FMA, name) and not re.match(SCALAR_FMA, name)]
    return len(rows), packed if rows else ["no instruction was found"]


def self_test():
    """The checks must fail on what they are for."""
    def listing(*rows):
        return "\n".join(["0000000000000000 <tile>:", *(f"  {4 * i:x}:\t{row}" for i, row in enumerate(rows))])
    good = listing("vmovups (%rsi),%zmm1", "vfmadd231ps %zmm1,%zmm3,%zmm0", "jne    0 <tile>", "ret")
    cases = [
        (check_gemm("avx512", good)[1], False), (check_gemm("avx2", good)[1], True),
        (check_gemm("avx512", listing("vfmadd231ps %zmm1,%zmm3,%zmm0", "vmovaps %zmm0,0x40(%rsp)", "jne 0 <tile>"))[1], True),
        (check_gemm("avx512", listing("vfmadd231ps 0x40(%rsp),%zmm3,%zmm0", "jne 0 <tile>"))[1], True),
        (check_gemm("avx512", listing("mov %rsp,%rbp", "vmovaps -64(%rbp),%zmm0", "vfmadd231ps %zmm1,%zmm3,%zmm0", "jne 4 <tile+0x4>"))[1], True),
        (check_gemm("avx512", listing("vmovaps (%rbp,%rax,1),%zmm0", "vfmadd231ps %zmm1,%zmm3,%zmm0", "jne 0 <tile>"))[1], False),
        (check_gemm("avx2", listing("vfmadd231ps %ymm1,%ymm3,%ymm0", "ret"))[1], True),
        (check_gemm("avx2", listing("vfmadd231ps %ymm1,%ymm3,%ymm0", "vfmadd231ss %xmm1,%xmm3,%xmm0", "jne 0 <tile>"))[1], True),
        (check_gemm("neon", listing("fmla\tv0.4s, v1.4s, v2.s[0]", "b.ne\t0 <tile>  // b.any"))[1], False),
        (check_gemm("neon", listing("fmla\tv0.4s, v1.4s, v2.s[0]", "str\tq0, [sp, #16]", "b.ne\t0 <tile>"))[1], True),
        (check_gemm("neon", listing("fmadd\ts0, s1, s2, s0", "b.ne\t0 <tile>"))[1], True),
        (check_vector("neon", listing("fmadd\ts0, s1, s2, s0", "b.ne\t0 <tile>"))[1], True),
        (check_scalar(listing("vfmadd231ps %xmm1,%xmm3,%xmm0"))[1], True),
        (check_scalar(listing("vfmadd231ss %xmm1,%xmm3,%xmm0"))[1], False), (check_scalar("")[1], True),
    ]
    return [i for i, (faults, wanted) in enumerate(cases) if bool(faults) != wanted]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    objdump, build = sys.argv[1:]
    wrong = self_test()
    if wrong:
        sys.exit(f"check_disassembly: the check itself is broken: cases {wrong}")
    failed, isas, gemms = False, set(), set()
    pattern = os.path.join(build, "**", "iol_kernels_*.dir", "**", "*.o")
    for path in sorted(glob.glob(pattern, recursive=True)):
        match = re.match(r"^((?:[a-z0-9]+_)+[a-z]+\d+(?:x\d+)?(?:k|dot)?)_([a-z0-9]+)\.c\.o$", os.path.basename(path))
        if not match:
            continue
        op, isa = match[1], match[2]
        if isa != "scalar" and isa not in WIDE:
            sys.exit(f"check_disassembly: {path}: the ISA '{isa}' is unknown here: add its FMAs to WIDE")
        listing = subprocess.run([objdump, "-d", "--no-show-raw-insn", path], check=True, capture_output=True,
                                 text=True).stdout
        isas.add(isa)
        if isa == "scalar":
            seen, faults, what = *check_scalar(listing), "instructions, no packed FMA"
        elif op in GEMMS or op == "fma_f32" or (op == "mix_f32" and isa in OWN_MIX) or (op == "panels_f32" and isa in OWN_PANELS):
            seen, faults, what = *check_gemm(isa, listing), "inner loops, all of full-width FMAs, nothing spilled"
            gemms |= {isa} if op in GEMMS else set()
        elif op in FMA_OPS or re.match(WIDENED, op):
            seen, faults, what = *check_vector(isa, listing), "loops of full-width FMAs"
        else:
            continue
        print(f"{op}_{isa}: {'WRONG' if faults else f'{seen} {what}'}")
        for fault in faults[:8]:
            print(f"    {fault}")
        failed |= bool(faults)
    if "scalar" not in isas or len(isas) < 2 or gemms != isas - {"scalar"}:
        print(f"check_disassembly: not every ISA was found under {build}: {sorted(isas)}, gemm of {sorted(gemms)}")
        failed = True
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
