"""The engine llama.cpp of python_prefill.py, through llama-cpp-python: a temporary GGUF file, f32 weights and f32 cache."""
import os
import tempfile

import llama_cpp
import numpy
import torch

from make_gguf import make_gguf

F32 = 0  # enum ggml_type


@llama_cpp.llama_log_callback
def quiet(level, text, user):
    """Takes llama.cpp's messages."""


class Loaded:
    """The last folder's model."""
    path, model = None, None

    @classmethod
    def of(cls, folder):
        if cls.path != folder:
            if cls.model:
                llama_cpp.llama_model_free(cls.model)
            cls.path = cls.model = None
            llama_cpp.llama_log_set(quiet, None)
            p = llama_cpp.llama_model_default_params()
            p.use_mmap = False  # the file does not stay
            with tempfile.TemporaryDirectory() as work:
                path = os.path.join(work, "model.gguf")
                make_gguf(folder, path)
                cls.model = llama_cpp.llama_model_load_from_file(path.encode(), p)
            if not cls.model:
                raise ValueError(f"llama.cpp does not load {folder} as GGUF")
            cls.path = folder
        return cls.model


class Context:
    """A cache and its threads; freed with the object."""
    def __init__(self, folder, ids, vocabulary, threads, flash):
        p = llama_cpp.llama_context_default_params()
        p.n_ctx = p.n_batch = p.n_ubatch = len(ids)
        p.n_threads = p.n_threads_batch = threads
        p.type_k = p.type_v = F32
        p.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self.context = llama_cpp.llama_init_from_model(Loaded.of(folder), p)
        if not self.context:
            raise ValueError("llama.cpp gives no context")
        self.ids, self.vocabulary = (llama_cpp.llama_token * len(ids))(*ids), vocabulary

    def run(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), False)
        if llama_cpp.llama_decode(self.context, llama_cpp.llama_batch_get_one(self.ids, len(self.ids))) != 0:
            raise ValueError("llama_decode failed")
        return llama_cpp.llama_get_logits_ith(self.context, -1)

    def logits(self):
        return torch.from_numpy(numpy.ctypeslib.as_array(self.run(), (self.vocabulary,)).copy())

    def __del__(self):
        if getattr(self, "context", None):
            llama_cpp.llama_free(self.context)


def open_llama(o, ids, config, fastest):
    """(a call, its logits as a function, what it is)."""
    contexts = {flash: Context(o["path"], ids, config.vocab_size, o["threads"], flash) for flash in (False, True)}
    flash, run = fastest({flash: c.run for flash, c in contexts.items()}, o["threads"])
    text = f"llama-cpp-python {llama_cpp.__version__}, f32 cache, {'with' if flash else 'without'} flash attention"
    return run, contexts[flash].logits, text
