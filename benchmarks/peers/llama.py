"""llama.cpp through its C interface, which llama-cpp-python lays open: many sequences decoded in one batch."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpt2_small import Weights
from benchmarks.peers.gguf_file import write_gguf
from benchmarks.peers.peer import Prompt, convert_once
from server.cores import cores

PRECISIONS = {"f32": "fp32", "q8_0": "int8", "q4_0": "int4"}


@dataclass
class LlamaCpp:
    """kind: llama.cpp's name of the weights' type: "f32", "q8_0" or "q4_0"."""

    kind: str
    install: str = "pip install llama-cpp-python==0.3.36 gguf==0.19.0"
    packages: tuple[str, ...] = ("llama-cpp-python", "gguf")
    _model: Any = None
    _context: Any = None
    _shape: tuple[int, int] = (0, 0)

    @property
    def name(self) -> str:
        """With the kind."""
        return f"llama.cpp {self.kind}"

    @property
    def precision(self) -> str:
        """What the kind is elsewhere called."""
        return PRECISIONS[self.kind]

    def prepare(self, weights: Weights, folder: Path) -> None:
        """Writes FOLDER/f32.gguf and quantises that as llama.cpp's own tool does. Raises ImportError, RuntimeError."""
        import llama_cpp

        llama_cpp.llama_backend_init()
        file = convert_once(folder / "f32.gguf", lambda path: write_gguf(weights.hf, path))
        if self.kind != "f32":
            file = convert_once(folder / f"{self.kind}.gguf", partial(self._quantise, file))
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
        settings.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{self.kind.upper()}")
        if llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(settings)):
            raise RuntimeError(f"llama.cpp cannot quantise {source} to {self.kind}")
