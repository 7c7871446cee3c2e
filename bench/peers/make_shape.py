#!/usr/bin/env python3
"""make_shape.py SHAPE FOLDER: a model with random weights as a Hugging Face folder (config.json, model.safetensors, f32).

Only for measuring time and for comparing programs: every tensor is random, norms and biases too. Needs torch and
safetensors."""
import argparse
import json
import os

import torch
from safetensors.torch import save_file

SHAPES = {
    "gpt2-small": {
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": None,
        "n_positions": 1024, "n_ctx": 1024, "vocab_size": 50257, "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5, "bos_token_id": 50256, "eos_token_id": 50256, "torch_dtype": "float32"},
    "llama-135m": {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64, "vocab_size": 49152,
        "max_position_embeddings": 2048, "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "rope_scaling": None, "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": True,
        "bos_token_id": 0, "eos_token_id": 0, "torch_dtype": "float32"},
}


def gpt2_tensors(c):
    width, inner = c["n_embd"], 4 * c["n_embd"]
    yield "transformer.wte.weight", (c["vocab_size"], width), width
    yield "transformer.wpe.weight", (c["n_positions"], width), width
    for layer in range(c["n_layer"]):
        for name, rows, columns in (("attn.c_attn", width, 3 * width), ("attn.c_proj", width, width),
                                    ("mlp.c_fc", width, inner), ("mlp.c_proj", inner, width)):
            yield f"transformer.h.{layer}.{name}.weight", (rows, columns), rows
            yield f"transformer.h.{layer}.{name}.bias", (columns,), 100
        for name in ("ln_1", "ln_2"):
            yield f"transformer.h.{layer}.{name}.weight", (width,), 0
            yield f"transformer.h.{layer}.{name}.bias", (width,), 100
    yield "transformer.ln_f.weight", (width,), 0
    yield "transformer.ln_f.bias", (width,), 100


def llama_tensors(c):
    width, inner = c["hidden_size"], c["intermediate_size"]
    q, kv = c["num_attention_heads"] * c["head_dim"], c["num_key_value_heads"] * c["head_dim"]
    yield "model.embed_tokens.weight", (c["vocab_size"], width), width
    for layer in range(c["num_hidden_layers"]):
        for name, rows, columns in (("self_attn.q_proj", q, width), ("self_attn.k_proj", kv, width),
                                    ("self_attn.v_proj", kv, width), ("self_attn.o_proj", width, q),
                                    ("mlp.gate_proj", inner, width), ("mlp.up_proj", inner, width),
                                    ("mlp.down_proj", width, inner)):
            yield f"model.layers.{layer}.{name}.weight", (rows, columns), columns
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield f"model.layers.{layer}.{name}.weight", (width,), 0
    yield "model.norm.weight", (width,), 0


def make_shape(name, folder):
    """Tensors are normal with variance 1 / fan-in; a fan-in of 0 marks the gain of a norm, around one."""
    config = SHAPES[name]
    random = torch.Generator().manual_seed(0)
    tensors = {}
    for tensor, shape, fan_in in (gpt2_tensors if config["model_type"] == "gpt2" else llama_tensors)(config):
        values = torch.randn(shape, generator=random)
        tensors[tensor] = values.mul_(fan_in**-0.5) if fan_in else values.mul_(0.1).add_(1)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2)
    save_file(tensors, os.path.join(folder, "model.safetensors"), {"format": "pt"})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder")
    arguments = parser.parse_args()
    make_shape(arguments.shape, arguments.folder)
