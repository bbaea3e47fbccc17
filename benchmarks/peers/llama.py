"""llama.cpp through its C interface, which llama-cpp-python lays open: many sequences decoded in one batch."""

import ctypes
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpt2_small import Weights
from benchmarks.peers.peer import Prompt, convert_once
from server.cores import cores

PRECISIONS = {"f32": "fp32", "q8_0": "int8", "q4_0": "int4"}


PARTS = {
    "wte": "token_embd",
    "wpe": "position_embd",
    "ln_f": "output_norm",
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
"""GGUF's names of GPT-2's parts, by transformers' names."""


class LlamaCpp:
    """kind: llama.cpp's name of the weights' type: "f32", "q8_0" or "q4_0"."""

    install = "pip install llama-cpp-python==0.3.36 gguf==0.19.0"
    packages: tuple[str, ...] = ("llama-cpp-python", "gguf")
    _model: Any = None
    _context: Any = None
    _shape: tuple[int, int] = (0, 0)

    def __init__(self, kind: str) -> None:
        self.name, self.precision, self._kind = f"llama.cpp {kind}", PRECISIONS[kind], kind

    def prepare(self, weights: Weights, folder: Path) -> None:
        """Writes FOLDER/f32.gguf and quantises that as llama.cpp's own tool does. Raises ImportError, RuntimeError."""
        import llama_cpp

        llama_cpp.llama_backend_init()
        file = convert_once(folder / "f32.gguf", lambda path: write_gguf(weights.hf, path))
        if self._kind != "f32":
            file = convert_once(folder / f"{self._kind}.gguf", partial(self._quantise, file))
        self._model = llama_cpp.llama_model_load_from_file(str(file).encode(), llama_cpp.llama_model_default_params())
        if not self._model:
            raise RuntimeError(f"llama.cpp cannot load {file}")

    def generate(self, prompts: Sequence[Prompt], new_tokens: int) -> list[list[int]]:
        """One batch: a decode over all prompts, then one over the newest token of each sequence, and so on."""
        import llama_cpp

        rows, prompt_tokens = len(prompts), len(prompts[0])
        self._fit(rows, prompt_tokens, new_tokens)
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        tokens = self._decode(np.array(prompts), 0)
        written = [tokens]
        for position in range(prompt_tokens, prompt_tokens + new_tokens - 1):
            tokens = self._decode(tokens[:, None], position)
            written.append(tokens)
        texts: list[list[int]] = np.stack(written, axis=1).tolist()
        return texts

    def _fit(self, rows: int, prompt_tokens: int, new_tokens: int) -> None:
        """Makes a context for so many sequences of this length, unless the last one was the same."""
        import llama_cpp

        shape = (rows, prompt_tokens + new_tokens)
        if shape == self._shape:
            return
        if self._context:
            llama_cpp.llama_free(self._context)
        settings = llama_cpp.llama_context_default_params()
        settings.n_seq_max = rows
        settings.n_ctx = rows * (prompt_tokens + new_tokens)
        settings.n_batch = rows * prompt_tokens
        settings.n_threads = settings.n_threads_batch = cores()
        self._context, self._shape = llama_cpp.llama_init_from_model(self._model, settings), shape
        if not self._context:
            raise RuntimeError(f"llama.cpp makes no context for {rows} sequences of {shape[1]} tokens")

    def _decode(self, tokens: np.ndarray, position: int) -> np.ndarray:
        """The likeliest next token, int64 [rows], of each row of `tokens`, int64 [rows, length], from `position` on."""
        import llama_cpp

        rows, length = tokens.shape
        batch = llama_cpp.llama_batch_init(tokens.size, 0, 1)
        for index, token in enumerate(tokens.ravel().tolist()):
            row, column = divmod(index, length)
            batch.token[index] = token
            batch.pos[index] = position + column
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = row
            batch.logits[index] = column == length - 1
        batch.n_tokens = tokens.size
        failed = llama_cpp.llama_decode(self._context, batch)
        llama_cpp.llama_batch_free(batch)
        if failed:
            raise RuntimeError(f"llama_decode returned {failed}")
        vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits(self._context), shape=(rows, vocabulary))
        likeliest: np.ndarray = logits.argmax(axis=1)
        return likeliest

    def _quantise(self, source: Path, target: Path) -> None:
        import llama_cpp

        settings = llama_cpp.llama_model_quantize_default_params()
        settings.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{self._kind.upper()}")
        if llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(settings)):
            raise RuntimeError(f"llama.cpp cannot quantise {source} to {self._kind}")


def write_gguf(hf: Path, file: Path) -> None:
    """Writes the fp32 weights of `hf`, a folder in transformers' PyTorch layout, without a vocabulary.

    llama.cpp takes the token embedding for the head, too, as GPT-2 does. Raises KeyError for a part of another model.
    """
    import gguf
    from safetensors.numpy import load_file

    config = json.loads((hf / "config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(file, "gpt2")
    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_feed_forward_length(config["n_inner"] or 4 * config["n_embd"])
    writer.add_block_count(config["n_layer"])
    writer.add_head_count(config["n_head"])
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    for name, weight in load_file(hf / "model.safetensors").items():
        if name != "lm_head.weight":  # the token embedding, which some versions write twice
            writer.add_tensor(gguf_name(name), _laid_out(name, weight))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf_name(name: str) -> str:
    """Of "transformer.h.3.attn.c_attn.weight", "blk.3.attn_qkv.weight"."""
    part, kind = name.removeprefix("transformer.").rsplit(".", 1)
    if not part.startswith("h."):
        return f"{PARTS[part]}.{kind}"
    _, block, part = part.split(".", 2)
    return f"blk.{block}.{PARTS[part]}.{kind}"


def _laid_out(name: str, weight: np.ndarray) -> np.ndarray:
    """Transformers keeps GPT-2's matrices [in, out]; GGUF wants [out, in], which the embeddings already are."""
    is_matrix = weight.ndim == 2 and "emb" not in gguf_name(name)
    return np.ascontiguousarray(weight.T if is_matrix else weight, dtype=np.float32)
