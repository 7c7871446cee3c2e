"""What the Python suites share: counted checks, runs of the program, small random models (standard library only)."""
import json, os, random, shutil, signal, struct, subprocess, sys, tempfile, time


class Checks:
    """Counts; prints one line per check and at the end the line that tests/run.sh reads."""

    def __init__(self, program):
        self.program = os.path.abspath(program)
        self.passed = self.failed = self.skipped = 0
        self.work = tempfile.mkdtemp(prefix="iolaus-suite-")
        self.env = {k: v for k, v in os.environ.items() if k != "IOL_ISA"}

    def that(self, name, fine, detail=""):
        if fine:
            self.passed += 1
            print(f"ok      {name}", flush=True)
        else:
            self.failed += 1
            print(f"FAILED  {name}", flush=True)
            for line in str(detail).splitlines()[:12]:
                print(f"        | {line}", flush=True)
        return bool(fine)

    def skip(self, name, why):
        self.skipped += 1
        print(f"skipped {name} ({why})", flush=True)

    def end(self):
        shutil.rmtree(self.work, ignore_errors=True)
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        sys.exit(1 if self.failed else 0)

    def path(self, name):
        return os.path.join(self.work, name)

    def run(self, *words, timeout=300, **more):
        """The program with these words: its exit status, output and error text."""
        return subprocess.run([self.program, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, errors="replace", timeout=timeout, env=self.env, **more)

    def digest(self, *words):
        """The digest that `run` with these words prints; a failure is the text of the error, which equals no digest."""
        result = self.run("run", *words, "--quiet")
        found = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("digest ")]
        return found[0] if result.returncode == 0 and len(found) == 1 else f"status {result.returncode}: {result.stderr.strip()}"

    def signalled(self, number, seconds, *words):
        """The program, sent signal `number` after so many seconds; (status, error text, was it still running)."""
        process = subprocess.Popen([self.program, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, env=self.env,
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        time.sleep(seconds)
        running = process.poll() is None
        if running:
            process.send_signal(number)
        return process.wait(timeout=300), process.stderr.read(), running

    def refused(self, name, part, *words, status=1):
        """The program refuses in one sentence that holds `part`."""
        result = self.run(*words)
        lines = result.stderr.splitlines()
        return self.that(name, result.returncode == status and len(lines) == 1 and lines[0].startswith("iolaus: ") and part in lines[0],
                         f"status {result.returncode}, expected {status} and one sentence with '{part}':\n{result.stderr}")


def write_safetensors(path, tensors):
    """tensors: [(name, shape, bytes of f32)]"""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape, data in tensors:
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, _, data in tensors:
            f.write(data)


def tiny_model(folder, family, prompts=24, seed=1):
    """A small random model of a family, with prompts.jsonl of token ids, lengths 1 to 14."""
    rng = random.Random(seed)
    os.makedirs(folder, exist_ok=True)
    tensors, d, vocab, context = [], 44 if family == "llama" else 40, 300, 64

    def add(name, *shape, scale=0.25, mean=0.0):
        count = 1
        for n in shape:
            count *= n
        tensors.append((name, list(shape), struct.pack(f"<{count}f", *(rng.gauss(mean, scale) for _ in range(count)))))

    if family == "llama":
        layers, heads, kv, head, ff = 3, 6, 3, 10, 76
        config = {"model_type": "llama", "num_hidden_layers": layers, "hidden_size": d, "num_attention_heads": heads,
                  "num_key_value_heads": kv, "head_dim": head, "intermediate_size": ff, "vocab_size": vocab,
                  "max_position_embeddings": context, "hidden_act": "silu", "rms_norm_eps": 1e-5, "tie_word_embeddings": False}
        add("model.embed_tokens.weight", vocab, d)
        for layer in range(layers):
            p = f"model.layers.{layer}."
            add(p + "input_layernorm.weight", d, mean=1.0)
            add(p + "post_attention_layernorm.weight", d, mean=1.0)
            for name, rows, columns in (("self_attn.q_proj", heads * head, d), ("self_attn.k_proj", kv * head, d),
                                        ("self_attn.v_proj", kv * head, d), ("self_attn.o_proj", d, heads * head),
                                        ("mlp.gate_proj", ff, d), ("mlp.up_proj", ff, d), ("mlp.down_proj", d, ff)):
                add(p + name + ".weight", rows, columns)
        add("model.norm.weight", d, mean=1.0)
        add("lm_head.weight", vocab, d)
    else:
        layers, heads, ff = 2, 5, 4 * d
        config = {"model_type": "gpt2", "n_layer": layers, "n_embd": d, "n_head": heads, "vocab_size": vocab, "n_positions": context,
                  "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new"}
        add("wte.weight", vocab, d)
        add("wpe.weight", context, d)
        for layer in range(layers):
            p = f"h.{layer}."
            for norm in ("ln_1", "ln_2"):
                add(p + norm + ".weight", d, mean=1.0)
                add(p + norm + ".bias", d)
            for name, rows, columns in (("attn.c_attn", d, 3 * d), ("attn.c_proj", d, d), ("mlp.c_fc", d, ff), ("mlp.c_proj", ff, d)):
                add(p + name + ".weight", rows, columns)
                add(p + name + ".bias", columns)
        add("ln_f.weight", d, mean=1.0)
        add("ln_f.bias", d)
    write_safetensors(os.path.join(folder, "model.safetensors"), tensors)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f)
    write_prompts(os.path.join(folder, "prompts.jsonl"), prompts, vocab, rng)
    return folder


def write_prompts(path, count, vocab, rng):
    with open(path, "w") as f:
        for i in range(count):
            f.write(json.dumps({"tokens": [rng.randrange(vocab) for _ in range(1 + (i * 5) % 14)]}) + "\n")


def flip_bit(folder, copy, tensor):
    """A copy of a model with the lowest mantissa bit of one weight of `tensor` flipped."""
    shutil.copytree(folder, copy)
    with open(os.path.join(copy, "model.safetensors"), "r+b") as f:
        size, = struct.unpack("<Q", f.read(8))
        row = json.loads(f.read(size))[tensor]
        at = 8 + size + (row["data_offsets"][0] + row["data_offsets"][1]) // 2 // 4 * 4
        f.seek(at)
        byte, = f.read(1)
        f.seek(at)
        f.write(bytes([byte ^ 1]))
    return copy


if __name__ == "__main__":  # checks.py FOLDER FAMILY [PROMPTS]: write a model
    tiny_model(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 24)
