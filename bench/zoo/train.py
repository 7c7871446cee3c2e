#!/usr/bin/env python3
"""Trains the carried model and writes it as a Hugging Face folder; checks such a folder.

    train.py                       train 6 layers, write recall-6l/ beside this file
    train.py --layers 2 --out DIR  the shallow model of the same width that the card compares with
    train.py --check DIR           load DIR with transformers and measure it again
"""
import argparse
import json
import math
import os
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from language import NAMES, Draw, Language
from model import Llama

HERE = os.path.dirname(os.path.abspath(__file__))
BOS = "<|endoftext|>"
PROMPTS = 640


def make_tokenizer(language):
    """Byte-level BPE whose merges are learned from the language's words until each is one token."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=4096, min_frequency=1, show_progress=False, special_tokens=[BOS],
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tok.train_from_iterator(language.words(), trainer)
    tok.add_special_tokens([AddedToken(BOS, special=True, normalized=False)])
    bos = tok.token_to_id(BOS)
    tok.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, bos)])
    for word in language.words():
        assert len(tok.encode(word, add_special_tokens=False).ids) == 1, word
    return tok


def make_config(args, vocab, bos):
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": args.width,
        "intermediate_size": 8 * ((args.width * 8 // 3 + 7) // 8), "num_hidden_layers": args.layers,
        "num_attention_heads": args.heads, "num_key_value_heads": args.kv_heads, "head_dim": args.width // args.heads,
        "vocab_size": vocab, "max_position_embeddings": 64, "hidden_act": "silu", "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "rope_scaling": None, "attention_bias": False, "mlp_bias": False,
        "tie_word_embeddings": False, "bos_token_id": bos, "eos_token_id": bos, "torch_dtype": "float32", "use_cache": True,
    }


def pad(rows):
    """Right-padded ids [B, T] and true lengths [B]; causal attention never looks at the padding."""
    t = max(map(len, rows))
    return torch.tensor([r + [0] * (t - len(r)) for r in rows]), torch.tensor([len(r) for r in rows])


class Sampler:
    """Batches of sentences. Facts come in shuffled rounds, so that each is seen equally often."""

    def __init__(self, language, tok, seed):
        self.language, self.tok, self.draw, self.queue = language, tok, Draw(f"train-{seed}"), []
        self.phrasings = {}
        for s, r, p in language.train:
            self.phrasings.setdefault((s, r), []).append(p)

    def batch(self, n):
        lang, draw, texts = self.language, self.draw, []
        while len(texts) < n:
            if not self.queue:
                self.queue = draw.sample(lang.facts, len(lang.facts))
            s, r = self.queue.pop()
            p = self.phrasings[s, r][draw.below(len(self.phrasings[s, r]))]
            texts.append(f"{lang.prompt(s, r, p, draw)} {lang.answer[s][r]}.")
        return pad([e.ids for e in self.tok.encode_batch(texts)])


@torch.no_grad()
def evaluate(logits_at_end, language, tok, triples, seed):
    """Share of prompts whose arg-max over the whole vocabulary is the answer; also by relation, and the mean -log p."""
    draw, hit, loss, per = Draw(f"evaluate-{seed}"), 0, 0.0, {}
    for i in range(0, len(triples), 256):
        part = triples[i:i + 256]
        ids, length = pad([e.ids for e in tok.encode_batch([language.prompt(s, r, p, draw) for s, r, p in part])])
        answer = torch.tensor([tok.token_to_id("Ġ" + language.answer[s][r]) for s, r, _ in part])
        logits = logits_at_end(ids, length)
        right = logits.argmax(-1) == answer
        hit += int(right.sum())
        loss += float(F.cross_entropy(logits, answer, reduction="sum"))
        for (_, r, _), ok in zip(part, right.tolist()):
            per.setdefault(NAMES[r], []).append(ok)
    return {"n": len(triples), "accuracy": hit / len(triples), "loss": loss / len(triples),
            "by_relation": {r: round(sum(v) / len(v), 4) for r, v in per.items()}}


def own_logits(model):
    def at_end(ids, length):
        return model.lm_head(model(ids)[torch.arange(len(ids)), length - 1])
    return at_end


def train(args, language, tok, config):
    torch.manual_seed(args.seed)
    net = Llama(config, args.dropout)
    decay = [p for p in net.parameters() if p.dim() == 2]
    plain = [p for p in net.parameters() if p.dim() != 2]
    opt = torch.optim.AdamW([{"params": decay, "weight_decay": args.decay}, {"params": plain, "weight_decay": 0.0}],
                            lr=args.lr, betas=(0.9, 0.98))
    sampler, start, tokens = Sampler(language, tok, args.seed), time.time(), 0
    seen = Draw("seen").sample(language.train, 1024)
    held = Draw("held").sample(language.held_out, 1024)
    for step in range(1, args.steps + 1):
        warm, rest = step / args.warmup, (step - args.warmup) / max(1, args.steps - args.warmup)
        lr = args.lr * (warm if warm < 1 else 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * rest)))
        for group in opt.param_groups:
            group["lr"] = lr
        ids, length = sampler.batch(args.batch)
        place = torch.arange(ids.shape[1] - 1)
        is_answer = place == (length - 3)[:, None]           # ids: ..., last prompt token, answer, "."
        is_other = (place < (length - 1)[:, None]) & ~is_answer
        hidden = net(ids[:, :-1])
        answer = F.cross_entropy(net.lm_head(hidden[is_answer]), ids[:, 1:][is_answer])
        other = F.cross_entropy(net.lm_head(hidden[is_other]), ids[:, 1:][is_other])
        opt.zero_grad(set_to_none=True)
        (answer + args.context * other).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        tokens += int(length.sum())
        if step % args.every == 0 or step == args.steps:
            net.eval()
            a, b = (evaluate(own_logits(net), language, tok, t, 0)["accuracy"] for t in (seen, held))
            net.train()
            print(f"step {step} answer {answer.item():.4f} other {other.item():.3f} seen {a:.4f} held-out {b:.4f} "
                  f"tokens {tokens} {time.time() - start:.0f} s", flush=True)
    net.eval()
    return net, {"steps": args.steps, "tokens": tokens, "seconds": round(time.time() - start, 1), "answer_loss": round(answer.item(), 5)}


def write_prompts(path, language, tok):
    """Held-out triples only; the token after the prompt is the answer, and one token."""
    draw, lengths = Draw("prompts"), []
    with open(path, "w", encoding="utf-8") as f:
        for s, r, p in draw.sample(language.held_out, PROMPTS):
            prompt, answer = language.prompt(s, r, p, draw), language.answer[s][r]
            head, full = tok.encode(prompt).ids, tok.encode(f"{prompt} {answer}").ids
            assert full[:-1] == head
            lengths.append(len(head))
            f.write(json.dumps({"prompt": prompt, "subject": language.subjects[s], "relation": NAMES[r],
                                "phrasing": p, "answer": answer}) + "\n")
    return lengths


def write_folder(args, net, language, tok, config, log):
    os.makedirs(args.out, exist_ok=True)
    weights = os.path.join(args.out, "model.safetensors")
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, weights, metadata={"format": "pt"})
    os.chmod(weights, 0o644)
    tok.save(os.path.join(args.out, "tokenizer.json"))
    lengths = write_prompts(os.path.join(args.out, "prompts.jsonl"), language, tok)
    log = {"arguments": {k: v for k, v in vars(args).items() if k not in ("out", "check")}, **log,
           "parameters": sum(p.numel() for p in net.parameters()), "torch": torch.__version__,
           "prompt_tokens": {"least": min(lengths), "most": max(lengths)},
           "held_out": evaluate(own_logits(net), language, tok, language.held_out, 0),
           "seen": evaluate(own_logits(net), language, tok, language.train, 0)}
    for name, value in (("config.json", config), ("training.json", log),
                        ("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": BOS,
                                                   "add_bos_token": True, "add_eos_token": False,
                                                   "clean_up_tokenization_spaces": False, "model_max_length": 64})):
        with open(os.path.join(args.out, name), "w", encoding="utf-8") as f:
            f.write(json.dumps(value, indent=2) + "\n")
    print(f"{args.out}: held-out {log['held_out']['accuracy']:.4f} (n {log['held_out']['n']}, loss {log['held_out']['loss']:.4f}), "
          f"seen {log['seen']['accuracy']:.4f}, {log['parameters']} parameters, {log['seconds']} s of training")


@torch.no_grad()
def check(folder):
    """Everything from the folder's own files through transformers; the language is made anew from the seed."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    with open(os.path.join(folder, "training.json"), encoding="utf-8") as f:
        made = json.load(f)
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    a = made["arguments"]
    language = Language(a["language_seed"], a["subjects"])
    tok = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    fast = AutoTokenizer.from_pretrained(folder)
    hf = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    own = Llama(config).eval()
    own.load_state_dict(hf.state_dict())

    def at_end(ids, length):
        return hf(input_ids=ids, use_cache=False).logits[torch.arange(len(ids)), length - 1]

    with open(os.path.join(folder, "prompts.jsonl"), encoding="utf-8") as f:
        prompts = [json.loads(line) for line in f]
    right, worst, lengths = 0, 0.0, []
    known = {(language.subjects[s], NAMES[r], p) for s, r, p in language.held_out}
    for row in prompts:
        ids, full = tok.encode(row["prompt"]).ids, tok.encode(row["prompt"] + " " + row["answer"]).ids
        assert full[:-1] == ids and fast(row["prompt"])["input_ids"] == ids and tok.decode(ids) == row["prompt"], row
        assert (row["subject"], row["relation"], row["phrasing"]) in known, f"not held out: {row}"
        batch, length = pad([ids])
        logits = at_end(batch, length)[0]
        worst = max(worst, float((logits - own_logits(own)(batch, length)[0]).abs().max()))
        right += int(logits.argmax()) == full[-1]
        lengths.append(len(ids))
    held = evaluate(at_end, language, tok, language.held_out, 0)
    seen = evaluate(at_end, language, tok, language.train, 0)
    size = sum(e.stat().st_size for e in os.scandir(folder))
    print(f"prompts.jsonl: {right} of {len(prompts)} right, {min(lengths)} to {max(lengths)} tokens")
    print(f"held-out phrasings: {held['accuracy']:.4f} of {held['n']} (loss {held['loss']:.4f}); seen: {seen['accuracy']:.4f} of {seen['n']}")
    print(f"held-out by relation: {held['by_relation']}")
    print(f"largest logit difference, transformers and model.py: {worst:.2e}; folder: {size} bytes")
    ok = right >= 0.9 * len(prompts) and held["accuracy"] >= 0.9 and worst < 1e-3 and size <= 8 << 20
    print("check: " + ("passed" if ok else "FAILED"))
    return 0 if ok else 1


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--check", metavar="DIR", help="check a trained folder instead of training")
    ap.add_argument("--out", default=os.path.join(HERE, "recall-6l"), help="folder to write (default: recall-6l beside this file)")
    for name, kind, default, text in (
            ("layers", int, 6, "blocks"), ("width", int, 128, "residual width"), ("heads", int, 4, "query heads"),
            ("kv-heads", int, 2, "key and value heads"), ("subjects", int, 240, "people"), ("steps", int, 3000, "optimizer steps"),
            ("batch", int, 192, "sentences per step"), ("lr", float, 2e-3, "peak learning rate"), ("warmup", int, 100, "warm-up steps"),
            ("decay", float, 0.02, "weight decay of matrices"), ("dropout", float, 0.1, "dropout on the sublayers' outputs"),
            ("context", float, 0.2, "weight of the loss on tokens other than the answer"), ("seed", int, 1, "seed of weights and batches"),
            ("language-seed", int, 1, "seed of the language"), ("threads", int, 2, "threads"), ("every", int, 100, "steps between reports")):
        ap.add_argument("--" + name, type=kind, default=default, help=f"{text} (default {default})")
    args = ap.parse_args()
    torch.set_num_threads(args.threads)
    if args.check:
        return check(args.check)
    language = Language(args.language_seed, args.subjects)
    tok = make_tokenizer(language)
    config = make_config(args, tok.get_vocab_size(), tok.token_to_id(BOS))
    print(f"{len(language.subjects)} subjects, {len(language.facts)} facts, {len(language.train)} phrasings in training, "
          f"{len(language.held_out)} held out; vocabulary {config['vocab_size']}", flush=True)
    net, log = train(args, language, tok, config)
    write_folder(args, net, language, tok, config, log)
    return 0


if __name__ == "__main__":
    sys.exit(main())
