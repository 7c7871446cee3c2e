#!/usr/bin/env python3
"""check_docs.py [--update] [BUILD_FOLDER]: documentation and tree agree.

  - every row of a registry (ISA, op, family, site, kind, metric, reuse axis, status, preset) has its line in a docs
    table, and no line is without its row; so do the options of the program, the columns of the CSV and the fields of
    the JSON;
  - every path named in a document exists; relative links lead somewhere; tests and documents name no place of one
    machine;
  - the numerics version is that of the code;
  - with BUILD_FOLDER: the output quoted in README.md is what bin/iolaus there prints (--update writes it anew).
Ends with `N passed, N failed, N skipped`; exit status 1 if anything failed."""
import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOPS = "include|kernels|runtime|bench|perf|tests|docs|cmake"
# Absolute paths that mean the same everywhere.
PLACES = ("/usr", "/tmp", "/proc", "/sys", "/dev", "/etc")
# Words that praise instead of saying something; and words that are no part of the subject (written in two parts, so
# that this list does not hold them).
PRAISE = ("blazing", "seamless", "cutting-edge", "state-of-the-art", "powerful", "effortless", "lightning", "revolutionary",
          "leverage", "delve", "—")
FOREIGN = ("sess" + "ion", "ag" + "ent", "assist" + "ant", "chat" + "bot", "work" + "place")
counts = {"passed": 0, "failed": 0, "skipped": 0}


def check(name, faults):
    faults = list(faults)
    counts["failed" if faults else "passed"] += 1
    print(f"{'FAILED ' if faults else 'ok     '} {name}")
    for fault in faults[:20]:
        print(f"        | {fault}")


def skip(name, why):
    counts["skipped"] += 1
    print(f"skipped {name} ({why})")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def documents():
    paths = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
    for top in ("docs", "bench", "perf", "tests"):
        for folder, _, names in os.walk(os.path.join(ROOT, top)):
            paths += [os.path.relpath(os.path.join(folder, name), ROOT) for name in names if name.endswith(".md")]
    return sorted(paths)


def rows_of(path, macro):
    """First arguments of the macro's rows."""
    return re.findall(rf"^\s*{macro}\((\w+)", read(path), re.M)


def tables_of(path):
    """Tables of a document: [(first cell of the header, [names in backticks of the first cell of each row])]"""
    out, rows = [], None
    for line in read(path).splitlines():
        if not line.startswith("|"):
            rows = None
        elif rows is None:
            rows = []
            out.append((line.split("|")[1].strip(), rows))
        elif not re.match(r"^\|[-| ]+$", line):
            rows.append(re.findall(r"`([^`]+)`", line.split("|")[1]))
    return out


def compare(what, wanted, path, header):
    """The table of `path` whose first header cell is `header` has exactly these names."""
    found = [name for title, rows in tables_of(path) if title == header for names in rows for name in names]
    faults = [f"{path}: the table '{header}' lacks {name}" for name in wanted if name not in found]
    faults += [f"{path}: the table '{header}' has {name}, which is nowhere" for name in found if name not in wanted]
    if not wanted:
        faults.append("nothing to compare with")
    check(f"{what}: {len(wanted)} in {path}", faults)


def check_registries():
    compare("ISAs", rows_of("kernels/isa.def", "ISA"), "docs/numerics.md", "ISA")
    ops = re.search(r"#define IOLK_OPS\(O\)(.*?)\n\n", read("kernels/ops.h"), re.S)[1]
    compare("ops", [f"{op}_{dtype}" for op, dtype in re.findall(r"\bO\((\w+), (\w+)\)", ops)], "docs/numerics.md", "op")
    compare("families", rows_of("runtime/model/arch.def", "FAMILY"), "README.md", "family (`model_type`)")
    compare("sites", rows_of("runtime/intervene/sites.def", "SITE"), "docs/metrics.md", "site")
    compare("kinds", rows_of("runtime/intervene/kinds.def", "KIND"), "docs/metrics.md", "kind")
    compare("metrics", rows_of("runtime/metric/metrics.def", "METRIC"), "docs/metrics.md", "metric")
    axes = re.search(r"reuse_axes\[\] = \{(.*?)\n\};", read("runtime/intervene/experiment.c"), re.S)[1]
    compare("reuse axes", re.findall(r'\{"(\w+)"', axes), "docs/cost.md", "axis of `--reuse`")
    compare("status codes", re.findall(r"X\((IOL_\w+),", read("include/iolaus/status.h")), "docs/results.md", "status")
    presets = re.search(r'"configurePresets": \[(.*?)\n    \]', read("CMakePresets.json"), re.S)[1]
    compare("presets", [name for name in re.findall(r'\{"name": "(\w+)"', presets) if name != "base"], "CONTRIBUTING.md", "preset")


def check_options():
    rows = re.search(r"option_row rows\[\] = \{(.*?)\n\};", read("runtime/cli/options.c"), re.S)[1]
    wanted = [f"--{name}" for name in re.findall(r'^\s*\{"([a-z-]+)",', rows, re.M)]
    found = [re.split(r"[ =]", name)[0] for title, lines in tables_of("README.md") if title == "option"
             for names in lines for name in names]
    faults = [f"README.md: the table of options lacks {name}" for name in wanted if name not in found]
    faults += [f"README.md: {name} is no option" for name in found if name.startswith("--") and name not in wanted]
    check(f"options: {len(wanted)} in README.md", faults + ([] if len(wanted) > 10 else ["nothing to compare with"]))
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", "\n".join(read(path) for path in documents() if path.startswith("docs"))))
    known = set(wanted) | set(re.findall(r"--[a-z]+", read("tests/run.sh"))) | {"--update", "--build", "--install", "--preset", "--prefix"}
    check("docs name no option that is not there", sorted(options - known))
    commands = re.findall(r'^    \{"(\w+)", "', read("runtime/cli/main.c"), re.M)
    check(f"commands: {len(commands)}", [name for name in commands if not re.search(rf"`?iolaus {name}\b", read("README.md") + read("docs/results.md"))
                                         and f"`{name}`" not in read("CHANGELOG.md")] + ([] if commands else ["none"]))


def check_schema():
    tables = re.sub(r"\\\n", " ", read("runtime/store/store_tables.h"))

    def columns(name):
        return re.findall(r"X\((\w+)", re.search(rf"#define {name}\(X\)(.*)", tables)[1])

    text, results = read("docs/metrics.md"), read("docs/results.md")
    for what in ("CLEAN", "EFFECT"):
        names = columns(f"IOL_{what}_REALS") + columns(f"IOL_{what}_DIST_REALS")
        check(f"fields of {what.lower()} rows: {len(names)} in docs/metrics.md", [name for name in names if f"`{name}`" not in text])
    runs = columns("IOL_RUN_REALS") + columns("IOL_RUN_DIST_REALS")
    check("columns of runs in docs/results.md", [name for name in runs if f"`{name}`" not in results])
    header = "prompt,line,target,site,pos,kind,donors," + ",".join(columns("IOL_EFFECT_REALS"))
    dist = ",".join(columns("IOL_EFFECT_DIST_REALS")) + ",argmax_changed"
    check("header of the CSV in docs/results.md", [line for line in (header, dist) if line not in results])
    keys = set(re.findall(r'put_(?:key|real|count|cost|regression|interval)\(sink, (?:"[{,]", |before, )?"(\w+)"', read("runtime/store/export_json.c")))
    check(f"keys of the JSON: {len(keys)}", sorted(key for key in keys if f"`{key}`" not in text + results)
          + ([] if len(keys) > 40 else ["too few to compare with"]))
    stored = read("runtime/store/store_schema.c").replace("\n", "")
    stored = re.findall(r"CREATE TABLE (\w+)\(", re.sub(r'"\s*"', "", stored))
    compare("tables of the results file", stored, "docs/results.md", "table")
    version = re.search(r"NUMERICS_VERSION = (\d+)", read("runtime/base/context.c"))[1]
    check("the numerics version", [path for path, form in (("docs/numerics.md", f"numerics version {version}"), ("CHANGELOG.md", f"numerics: version {version}"))
                                   if form not in read(path)])


def names_in(text):
    """Paths of the tree that a document names; <placeholders> become wildcards."""
    for name in re.findall(rf"(?<![\w./-])((?:{TOPS})/[\w./<>*{{}},-]*[\w>*}}])", text):
        yield re.sub(r"<\w+>", "*", name)
    for name in re.findall(r"`([\w-]+\.(?:c|h|def|py|sh|md|cmake))`", text):
        yield "**/" + name


def check_paths():
    faults, count = [], 0
    for path in documents():
        for name in set(names_in(read(path))):
            count += 1
            base = os.path.dirname(path) if name.startswith("**/") and os.path.basename(path) == "README.md" and "/" in path else ""
            pattern = os.path.join(ROOT, base, name)
            if not glob.glob(pattern, recursive=True) and not glob.glob(os.path.join(ROOT, name), recursive=True):
                faults.append(f"{path} names {name.replace('**/', '')}, which is not there")
    check(f"paths: {count} named", sorted(faults) + ([] if count > 50 else ["too few to believe"]))
    faults, count = [], 0
    for path in documents():
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", read(path)):
            if re.match(r"https?:", target):
                continue
            count += 1
            if not os.path.exists(os.path.join(ROOT, os.path.dirname(path), target)):
                faults.append(f"{path} links to {target}, which is not there")
    check(f"links: {count} relative", faults + ([] if count > 10 else ["too few to believe"]))


def check_words():
    faults = []
    for path in documents():
        for number, line in enumerate(read(path).splitlines(), 1):
            for word in PRAISE + FOREIGN:
                if re.search(rf"(?<!\w){re.escape(word)}s?(?!\w)", line, re.I):
                    faults.append(f"{path}:{number}: '{word}'")
            for place in re.findall(r"(?<![\w.<>:/\")}*~$-])(/[a-z]+)/[\w.]", line):
                if place not in PLACES:
                    faults.append(f"{path}:{number}: a place of one machine: {place}/")
    check("words", faults)
    pages = len(read("docs/architecture.md").split())
    check("docs/architecture.md: two pages", [f"{pages} words"] if pages > 1100 else [])


def quoted(text):
    """The quoted outputs of README.md: (words of the command, the block)."""
    return re.findall(r"<!-- output: (.+?) -->\n```\n(.*?)```", text, re.S)


def same_line(quote, line):
    """Seconds of the bill and shares of a measured peak are of one run; how often weights are read depends on the
    number of waves, and that on caches and threads."""
    def plain(text):
        if re.match(r"phase|noise floor  |total|as it was run|without ", text):
            text = text[:43] + " BYTES" + text[54:]
        if re.match(r"(phase|noise floor  |spill|store|total|wall)|\w+ +(zero|mean|resample:\d+) +\d+ ", text):
            text = re.sub(r"\s+\d+(\.\d+)?$", " SECONDS", text)
        return re.sub(r"\d+\.\d+ % of .*", "SHARE", text)
    return quote == line or plain(quote) == plain(line)


def requote(block, lines):
    """The block with each quoted line as printed now; None, with the fault, where there is no such line."""
    out, at, fault = [], 0, None
    for quote in block.splitlines():
        if quote == "...":
            out.append(quote)
            continue
        key = re.split(r"\s{2,}| +-?\d", quote)[0]
        if quote.startswith(("attn_out", "mlp_out", "head")):
            key = " ".join(quote.split()[:2]) if re.search(r"(zero|mean|resample)", quote) else quote.split()[0]
        found = next((i for i in range(at, len(lines)) if " ".join(lines[i].split()).startswith(" ".join(key.split()))), None)
        if found is None:
            return None, f"no line begins with '{key}'"
        if not same_line(quote, lines[found]):
            fault = fault or f"quoted '{quote}', printed '{lines[found]}'"
            out.append(lines[found])
        else:
            out.append(quote)
        at = found + 1
    return "\n".join(out) + "\n", fault


def check_output(program, update):
    text = read("README.md")
    blocks = quoted(text)
    if not blocks:
        check("output in README.md", ["no quoted output"])
    for words, block in blocks:
        missing = [word for word in words.split() if "/" in word and not os.path.exists(os.path.join(ROOT, word))]
        if missing or not program or not os.access(program, os.X_OK):
            skip(f"output in README.md: iolaus {words}", f"{missing[0]} is not there" if missing else "no program was given")
            continue
        run = subprocess.run([program, *words.split(), "--quiet"], cwd=ROOT, capture_output=True, text=True, timeout=900)
        new, fault = requote(block, run.stdout.splitlines())
        wide = [line for line in block.splitlines() if len(line) > 80]
        check(f"output in README.md: iolaus {words}", [fault] * bool(fault) + wide + ([] if run.returncode == 0 else [run.stderr.strip()]))
        if update and new and fault:
            with open(os.path.join(ROOT, "README.md"), "w", encoding="utf-8") as file:
                file.write(text.replace(block, new))
            print("        README.md: written anew; read it before you commit it")


def main():
    words = sys.argv[1:]
    update = "--update" in words
    folders = [word for word in words if not word.startswith("--")]
    if len(folders) > 1 or any(word.startswith("--") and word != "--update" for word in words):
        sys.exit(__doc__)
    check_registries()
    check_options()
    check_schema()
    check_paths()
    check_words()
    check_output(os.path.abspath(os.path.join(folders[0], "bin", "iolaus")) if folders else None, update)
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    sys.exit(1 if counts["failed"] else 0)


main()
