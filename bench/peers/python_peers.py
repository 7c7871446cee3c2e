#!/usr/bin/env python3
"""Peers of the bench that live in Python: one process that takes turns with the bench (python_peer.c starts it).

A request is a line on standard input, its answer a line on standard output: `ok ...` or `error REASON`. The first line,
without a request, says version and settings. Until a request comes the process sleeps; an answer to a turn is given only
when its threads sleep, too.

  open KIND threads=N NAME=VALUE ...    ok ID WHAT IT IS
  output ID                             ok COUNT, then so many floats: what one call computes
  turn ID CALLS                         ok SECONDS of these calls, after one that is not timed (calls of over 20 ms: at once)
  close ID                              ok
  make SHAPE FOLDER                     ok: a model with random weights (make_shape.py) is in FOLDER

Inputs are those of bench_fill (measure.c), each from its own seed; shapes are row-major:
  sdpa t= d= heads= kv=           causal attention. q (t, heads, d) seed 1, K (kv, d, ld) seed 2 with its first t of
                                  ld = t rounded up to 16 columns, v (t, kv, d) seed 3; output as q
  branches b= t= d= heads= kv= [own=1]   b rows at one position against t shared keys, matmul and softmax. q (b, heads, d)
                                  seed 1, K and v as above; own=1: also an own key (b, kv, d) and value (b, kv, d) of each
                                  row, one after the other from seed 4
  linear how=plain|mkl|onednn k= n= m= copies=    F.linear, or weights packed once. w (n, k) seed 1, a (m, k) seed 2,
                                  output (m, n); the copies of w take turns
  prefill engine=... t= path=FOLDER      python_prefill.py; path takes the rest of the line

Where there are several ways to write a computation, each is tried when it is opened and the fastest is kept.
Needs torch and numpy; transformers, llama_cpp for their engines only."""
import argparse
import math
import os
import sys
import time

WARM_SECONDS = 1e-3  # bench_warm_seconds of measure.h
THREADS = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
THREADS.add_argument("--threads", type=int, default=1, help="most threads that will be asked for [%(default)s]")


def set_environment(threads):
    """Before anything is imported that reads it."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_PROGRESS_BARS="1",
                      TQDM_DISABLE="1", TOKENIZERS_PARALLELISM="false")
    if os.access("/dev/shm", os.W_OK):
        os.environ.setdefault("TMPDIR", "/dev/shm")


def fill(seed, *shape):
    """bench_fill: uniform in -1..1 with 24 bits."""
    count = math.prod(shape)
    z = numpy.arange(1, count + 1, dtype=numpy.uint64)
    z *= numpy.uint64(0x9E3779B97F4A7C15)
    z += numpy.uint64(seed)
    z ^= z >> numpy.uint64(30)
    z *= numpy.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> numpy.uint64(27)
    z *= numpy.uint64(0x94D049BB133111EB)
    z ^= z >> numpy.uint64(31)
    z >>= numpy.uint64(40)
    return torch.from_numpy((z / 8388608.0 - 1.0).astype(numpy.float32)).reshape(shape)


def seconds(run, calls, threads, warm=True):
    """Of these calls, after untimed ones for WARM_SECONDS, one at least; or, unless `warm`, after so many seconds of
    matrix products (bench_ramp_up). The clock is bench_clock's."""
    clock = time.thread_time if threads == 1 else time.perf_counter
    if not warm:
        square = torch.ones(256, 256)
    until = time.perf_counter() + WARM_SECONDS
    while True:
        run() if warm else torch.mm(square, square)
        if time.perf_counter() >= until:
            break
    begin = clock()
    for _ in range(calls):
        run()
    return clock() - begin


def settle():
    """Until the other threads of this process have stopped spinning; a fifth of a second at most."""
    for _ in range(100):
        before = time.process_time()
        time.sleep(0.002)
        if time.process_time() - before < 0.0002:
            return


def fastest(ways, threads):
    """(name, function) of the fastest of these: all are timed once; short ones that are not far behind again."""
    took = {name: seconds(run, 1, threads) for name, run in ways.items()}
    for _ in range(3 if min(took.values()) < 0.02 else 0):
        for name, run in ways.items():
            if took[name] < 1.5 * min(took.values()):
                calls = math.ceil(1e-3 / (took[name] + 1e-9))
                took[name] = min(took[name], seconds(run, calls, threads) / calls)
    name = min(took, key=took.get)
    return name, ways[name]


class Entry:
    """One opened computation: run() does it once and returns its output, (rows, ...) row-major."""
    def __init__(self, run, text, threads):
        self.run, self.text, self.threads = run, text, threads
        self.took = 0  # a call, in the last turn


# --- attention --------------------------------------------------------------------------------------------------------

def keys_values(o):
    ld = (o["t"] + 15) // 16 * 16
    kt = fill(2, o["kv"], o["d"], ld)[:, :, :o["t"]].contiguous()
    v = fill(3, o["t"], o["kv"], o["d"]).transpose(0, 1).contiguous()
    return kt, v  # (kv, d, t), (kv, t, d)


def open_sdpa(o):
    kt, v = keys_values(o)
    q = fill(1, o["t"], o["heads"], o["d"]).transpose(0, 1).contiguous()[None]
    k, v = kt.transpose(1, 2).contiguous()[None], v[None]
    attention, group = torch.nn.functional.scaled_dot_product_attention, o["heads"] // o["kv"]
    ways = {"sdpa": lambda: attention(q, k, v, is_causal=True, enable_gqa=group > 1)}
    if group > 1:  # not timed: the keys of a group repeated for each of its heads
        k_all, v_all = (x.repeat_interleave(group, 1) for x in (k, v))
        ways["sdpa, keys repeated"] = lambda: attention(q, k_all, v_all, is_causal=True)
    name, run = fastest(ways, o["threads"])
    return Entry(run, name, o["threads"]), lambda: run()[0].transpose(0, 1)


def open_branches(o):
    b, heads, kv, d = o["b"], o["heads"], o["kv"], o["d"]
    rows = heads // kv * b
    kt, v = keys_values(o)
    k = kt.transpose(1, 2).contiguous().transpose(1, 2)  # the same matrix, key by key in memory
    grouped = lambda x: x.view(b, kv, -1, d).permute(1, 2, 0, 3).reshape(kv, rows, d)
    q = grouped(fill(1, b, heads, d) * d**-0.5)  # the scale is in the queries
    if o.get("own", 0):
        own = fill(4, 2, b, kv, d)
        spread = own[:, :, :, None].expand(2, b, kv, heads // kv, d).reshape(2, b, heads, d)
        own_k, own_v = grouped(spread[0]), grouped(spread[1])

        def attend(keys):
            w = torch.cat([torch.bmm(q, keys), (q * own_k).sum(-1, keepdim=True)], -1).softmax(-1)
            return torch.bmm(w[..., :-1], v) + w[..., -1:] * own_v
    else:
        def attend(keys):
            return torch.bmm(torch.bmm(q, keys).softmax(-1), v)
    name, run = fastest({"matmul + softmax": lambda: attend(kt), "matmul + softmax, keys by row": lambda: attend(k)},
                        o["threads"])
    return (Entry(run, name, o["threads"]),
            lambda: run().view(kv, heads // kv, b, d).permute(2, 0, 1, 3).reshape(b, heads, d))


# --- products ---------------------------------------------------------------------------------------------------------

def packed_linear(how, w, bias, rows):
    """x (M, K) -> x w^T + bias. Weights packed for `rows` rows, once; right for any M."""
    if how == "mkl":
        packed = torch.ops.mkl._mkl_reorder_linear_weight(w, rows)
        # With a row count that is not x's it falls back to F.linear without a word.
        return lambda x: torch.ops.mkl._mkl_linear(x, packed, w, bias, x.shape[0])
    if how == "onednn":
        packed = torch.ops.mkldnn._reorder_linear_weight(w, rows)
        return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    if how == "plain":
        return lambda x: torch.nn.functional.linear(x, w, bias)
    raise ValueError(f"how={how}")


class Weights:
    """The copies of the last product's weights: the next one may differ in m only."""
    key, copies = None, []

    @classmethod
    def of(cls, o):
        key = o["k"], o["n"], o["copies"]
        if cls.key != key:
            cls.key, cls.copies = None, []  # freed before the next are made
            w = fill(1, o["n"], o["k"])
            cls.key, cls.copies = key, [w] + [w.clone() for _ in range(o["copies"] - 1)]
        return cls.copies


def open_linear(o):
    copies, a = Weights.of(o), fill(2, o["m"], o["k"])
    products = [packed_linear(o["how"], w, None, o["m"]) for w in copies]
    at = 0

    def run():
        nonlocal at
        at = at + 1 if at + 1 < len(products) else 0
        return products[at](a)
    name = {"plain": "F.linear", "mkl": "mkl._mkl_linear", "onednn": "mkldnn._linear_pointwise"}[o["how"]]
    return Entry(run, name, o["threads"]), run


def open_prefill(o):
    import python_prefill
    run, logits, text = python_prefill.open_engine(o, fastest, packed_linear)
    return Entry(run, text, o["threads"]), logits


KINDS = {"sdpa": open_sdpa, "branches": open_branches, "linear": open_linear, "prefill": open_prefill}


# --- the conversation -------------------------------------------------------------------------------------------------

def parse_options(text):
    """NAME=VALUE ...; path= takes the rest."""
    head, _, path = text.partition("path=")
    o = dict(word.split("=", 1) for word in head.split())
    o = {name: int(value) if value.isdigit() else value for name, value in o.items()}
    return o | {"path": path} if path else o


class Peers:
    def __init__(self):
        self.entries, self.outputs, self.last = {}, {}, 0

    def use_threads(self, threads):
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)

    def open(self, text):
        kind, _, options = text.partition(" ")
        o = parse_options(options)
        self.use_threads(o["threads"])
        entry, output = KINDS[kind](o)
        self.last += 1
        self.entries[self.last], self.outputs[self.last] = entry, output
        return f"{self.last} {entry.text}", b""

    def output(self, text):
        self.use_threads(self.entries[int(text)].threads)
        values = self.outputs[int(text)]().contiguous().view(-1).numpy()
        return f"{values.size}", values.tobytes()

    def turn(self, text):
        which, calls = map(int, text.split())
        entry = self.entries[which]
        self.use_threads(entry.threads)
        took = seconds(entry.run, calls, entry.threads, warm=entry.took < 0.02)
        entry.took = took / calls
        if entry.threads > 1:
            settle()
        return f"{took:.9e}", b""

    def close(self, text):
        del self.entries[int(text)], self.outputs[int(text)]
        return "", b""


def make(text):
    from make_shape import make_shape
    make_shape(*text.split(" ", 1))
    return "", b""


def describe():
    names = ["OMP_NUM_THREADS", "OMP_WAIT_POLICY", "KMP_BLOCKTIME", "GOMP_SPINCOUNT", "ATEN_CPU_CAPABILITY",
             "MKL_ENABLE_INSTRUCTIONS", "MALLOC_MMAP_MAX_"]
    build = [line.strip(" -") for line in torch.__config__.show().splitlines() if "Library Version" in line or "MKL-DNN" in line]
    settings = " ".join(f"{name}={os.environ[name]}" for name in names if name in os.environ)
    return f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {'; '.join(build)}; {settings}"


def main():
    global numpy, torch
    arguments = THREADS.parse_args()
    set_environment(arguments.threads)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is not an answer

    def answer(word, text, floats=b""):
        answers.write(f"{word} {text}\n".encode() + floats)
        answers.flush()
    try:
        import numpy
        import torch
    except ImportError as error:
        answer("error", str(error).split("\n", maxsplit=1)[0])
        return
    torch.set_grad_enabled(False)
    torch.set_num_threads(arguments.threads)
    answer("ok", describe())
    peers = Peers()
    requests = {"open": peers.open, "output": peers.output, "turn": peers.turn, "close": peers.close, "make": make}
    for line in sys.stdin:
        name, _, rest = line.rstrip("\n").partition(" ")
        try:
            answer("ok", *requests[name](rest))
        except Exception as error:  # whatever went wrong in a peer is its answer
            answer("error", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


if __name__ == "__main__":
    main()
