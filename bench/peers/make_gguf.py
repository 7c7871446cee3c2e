#!/usr/bin/env python3
"""make_gguf.py FOLDER FILE: a Hugging Face folder of the GPT-2 or the Llama family as GGUF, f32, without a tokenizer.

For running llama.cpp on the same weights, by token ids. Llama: default rotary positions only. Needs gguf, numpy and
safetensors."""
import argparse
import json
import os

import gguf
from safetensors.numpy import load_file

GPT2 = {"ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm",
        "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}
GPT2_OUTER = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm"}
LLAMA = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
LLAMA_OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def interleaved(w, heads):
    """Rotary pairs side by side: rows i and i + dim / 2 of a head become rows 2 i and 2 i + 1."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(w.shape)


def add_gpt2(writer, c, tensors):
    width = c["n_embd"]
    writer.add_context_length(c["n_positions"])
    writer.add_embedding_length(width)
    writer.add_block_count(c["n_layer"])
    writer.add_feed_forward_length(c.get("n_inner") or 4 * width)
    writer.add_head_count(c["n_head"])
    writer.add_layer_norm_eps(c["layer_norm_epsilon"])
    for name, values in tensors.items():
        name = name.removeprefix("transformer.")
        if name.startswith("h."):
            _, layer, rest = name.split(".", 2)
            module, _, part = rest.rpartition(".")
            if module not in GPT2:
                continue  # the masks of old checkpoints
            values = values.T.copy() if part == "weight" and values.ndim == 2 else values  # stored (in, out)
            yield f"blk.{layer}.{GPT2[module]}.{part}", values
        else:
            module, _, part = name.rpartition(".")
            if module in GPT2_OUTER:
                yield f"{GPT2_OUTER[module]}.{part}", values


def add_llama(writer, c, tensors):
    heads = c["num_attention_heads"]
    kv = c.get("num_key_value_heads") or heads
    dim = c.get("head_dim") or c["hidden_size"] // heads
    if c.get("rope_scaling"):
        raise ValueError("rope_scaling is not supported")
    writer.add_context_length(c["max_position_embeddings"])
    writer.add_embedding_length(c["hidden_size"])
    writer.add_block_count(c["num_hidden_layers"])
    writer.add_feed_forward_length(c["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv)
    writer.add_key_length(dim)
    writer.add_value_length(dim)
    writer.add_layer_norm_rms_eps(c["rms_norm_eps"])
    writer.add_rope_dimension_count(dim)
    writer.add_rope_freq_base((c.get("rope_parameters") or c).get("rope_theta", 10000.0))
    for name, values in tensors.items():
        if name.startswith("model.layers."):
            _, _, layer, rest = name.split(".", 3)
            module, _, part = rest.rpartition(".")
            if module not in LLAMA:
                continue  # stored rotary frequencies
            if module.endswith(("q_proj", "k_proj")):
                values = interleaved(values, heads if module.endswith("q_proj") else kv)
            yield f"blk.{layer}.{LLAMA[module]}.{part}", values
        else:
            module, _, part = name.rpartition(".")
            if not (module == "lm_head" and c.get("tie_word_embeddings")):
                yield f"{LLAMA_OUTER[module]}.{part}", values


def make_gguf(folder, path):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        c = json.load(file)
    family = {"gpt2": add_gpt2, "llama": add_llama}[c["model_type"]]
    writer = gguf.GGUFWriter(path, c["model_type"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("no_vocab")
    writer.add_vocab_size(c["vocab_size"])
    for name, values in family(writer, c, load_file(os.path.join(folder, "model.safetensors"))):
        writer.add_tensor(name, values.astype("float32", copy=False))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("file")
    arguments = parser.parse_args()
    make_gguf(arguments.folder, arguments.file)
