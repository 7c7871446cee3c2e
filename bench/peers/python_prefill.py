"""Engines of the peer `prefill` (python_peers.py): one prompt of t tokens through a whole model of the GPT-2 or the Llama
family in f32, logits of the last position.

  engine=transformers   as people call it, told to compute the last position's logits only and to keep no cache
  engine=torch          the strongest PyTorch written by hand: projections side by side in one product, weights packed once
                        (MKL's or oneDNN's packing, or none: the fastest), MLP in blocks of rows, the last layer's MLP and
                        attention output at the last position only
  engine=llama.cpp      llama-cpp-python on a temporary GGUF file (make_gguf.py): f32 weights and cache; with and without
                        flash attention, the faster

Token i is iol_below of splitmix64 from seed 5 (base.h), so that both sides run the same prompt."""

import torch
import torch.nn.functional as F

MASK = (1 << 64) - 1


def draw_tokens(count, vocabulary, state=5):
    """iol_below(&state, vocabulary), count times."""
    out = []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
        out.append(((z ^ (z >> 31)) * vocabulary) >> 64)
    return out


class Loaded:
    """The last folder's model, and how its products were packed: engines and thread counts follow each other on it."""
    path, model, walks = None, None, {}

    @classmethod
    def of(cls, path):
        import transformers
        if cls.path != path:
            cls.path, cls.model, cls.walks = None, None, {}
            cls.model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, local_files_only=True).eval()
            cls.path = path
        return cls.model


# --- by hand ----------------------------------------------------------------------------------------------------------

class Block:
    """A layer's norms and products."""
    def __init__(self, layer, gpt2, product):
        def joined(modules):
            weights = [m.weight.t() if gpt2 else m.weight for m in modules]
            biases = [m.bias for m in modules]
            return product(torch.cat(weights).contiguous(), None if biases[0] is None else torch.cat(biases))
        if gpt2:
            self.norms = layer.ln_1, layer.ln_2
            parts = [layer.attn.c_attn], [layer.attn.c_proj], [layer.mlp.c_fc], [layer.mlp.c_proj]
        else:
            attention, mlp = layer.self_attn, layer.mlp
            self.norms = layer.input_layernorm, layer.post_attention_layernorm
            parts = ([attention.q_proj, attention.k_proj, attention.v_proj], [attention.o_proj],
                     [mlp.gate_proj, mlp.up_proj], [mlp.down_proj])
        self.qkv, self.out, self.up, self.down = map(joined, parts)


class Walk:
    def __init__(self, model, product):
        c = model.config
        self.gpt2 = c.model_type == "gpt2"
        core = model.transformer if self.gpt2 else model.model
        self.width, self.heads = c.hidden_size, c.num_attention_heads
        self.kv = self.heads if self.gpt2 else c.num_key_value_heads
        self.dim = getattr(c, "head_dim", None) or self.width // self.heads
        self.tokens = core.wte if self.gpt2 else core.embed_tokens
        self.positions = core.wpe if self.gpt2 else None
        self.rotary = None if self.gpt2 else core.rotary_emb
        self.norm_out = core.ln_f if self.gpt2 else core.norm
        self.unembed = model.lm_head.weight
        self.blocks = [Block(layer, self.gpt2, product) for layer in (core.h if self.gpt2 else core.layers)]

    def norm(self, x, module):
        if self.gpt2:
            return F.layer_norm(x, (self.width,), module.weight, module.bias, module.eps)
        return F.rms_norm(x, (self.width,), module.weight, module.variance_epsilon)

    def angles(self, x):
        """(cosines, sines), each (t, 1, dim / 2)."""
        at = torch.arange(x.shape[0])[None]
        return [u[0, :, None, :self.dim // 2].contiguous() for u in self.rotary(x[None], at)]

    def rotate(self, x, cosines, sines):
        """x (t, heads, dim), in place."""
        a, b = x.chunk(2, -1)
        turned = a * sines
        a.mul_(cosines).addcmul_(b, sines, value=-1)
        b.mul_(cosines).add_(turned)

    def mlp(self, x, block, rows):
        """x += MLP(norm(x)), so many rows at a time."""
        for part in x.split(rows):
            h = block.up(self.norm(part, block.norms[1]))
            if self.gpt2:
                h = F.gelu(h, approximate="tanh")
            else:
                gate, up = h.chunk(2, -1)
                h = F.silu(gate).mul_(up)
            part += block.down(h)

    def run(self, ids, rows):
        x = self.tokens(ids)
        t, q_kv = len(ids), [self.heads, self.kv, self.kv]
        if self.gpt2:
            x = x + self.positions.weight[:t]
        else:
            angles = self.angles(x)
        for block in self.blocks:
            last = block is self.blocks[-1]
            u = block.qkv(self.norm(x, block.norms[0])).view(t, sum(q_kv), self.dim)
            if not self.gpt2:
                self.rotate(u[:, :self.heads + self.kv], *angles)
            q, k, v = u.transpose(0, 1)[None].split(q_kv, 1)
            if last:  # nothing reads the other positions
                q, x = q[:, :, -1:], x[-1:].clone()
            y = F.scaled_dot_product_attention(q, k, v, is_causal=not last, enable_gqa=self.heads != self.kv)
            x += block.out(y[0].transpose(0, 1).reshape(len(x), self.heads * self.dim))
            self.mlp(x, block, rows)
        return F.linear(self.norm(x, self.norm_out), self.unembed)[0]


def open_torch(o, ids, fastest, packed_linear):
    model, t, threads = Loaded.of(o["path"]), o["t"], o["threads"]
    ids = torch.tensor(ids)

    def product(how):
        def make(w, bias):
            plain, packed = packed_linear("plain", w, bias, t), packed_linear(how, w, bias, t)
            return lambda x: packed(x) if x.shape[0] >= 8 else plain(x)
        return make
    walks = Loaded.walks
    for how in ("plain", "mkl", "onednn"):
        if (how, t) not in walks:
            walks[how, t] = Walk(model, product(how))
    how, _ = fastest({how: lambda walk=walk: walk.run(ids, t) for (how, rows), walk in walks.items() if rows == t}, threads)
    walk = walks[how, t]
    rows, run = fastest({rows: lambda rows=rows: walk.run(ids, rows) for rows in sorted({t, t // 2 or 1})}, threads)
    return run, run, f"by hand, weights packed: {how}, MLP in blocks of {rows} rows"


def open_transformers(o, ids):
    import transformers
    model, prompt = Loaded.of(o["path"]), torch.tensor(ids)[None]
    run = lambda: model(prompt, logits_to_keep=1, use_cache=False).logits[0, -1]
    return run, run, f"transformers {transformers.__version__}, logits_to_keep=1, {model.config._attn_implementation}"


def open_engine(o, fastest, packed_linear):
    """(a call, its logits as a function, what it is)."""
    import transformers
    config = transformers.AutoConfig.from_pretrained(o["path"], local_files_only=True)
    ids = draw_tokens(o["t"], config.vocab_size)
    if o["engine"] == "transformers":
        return open_transformers(o, ids)
    if o["engine"] == "torch":
        return open_torch(o, ids, fastest, packed_linear)
    if o["engine"] == "llama.cpp":
        import python_llama
        return python_llama.open_llama(o, ids, config, fastest)
    raise ValueError(f"engine={o['engine']}")
