"""The peers with engines in C++: CTranslate2, llama.cpp and OpenVINO."""

import ctypes
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpt2_small import Weights
from benchmarks.peers.contenders import Prompt, convert_once
from server.cores import cores

COMPUTE_TYPES = {"fp32": "float32", "int8": "int8"}


class CTranslate2:
    """CTranslate2.

    Args:
        precision: "fp32", or "int8": CTranslate2 quantizes the weights when it loads them.
        replicas: split a batch between workers with one core each and shared weights; otherwise all cores work on one
            batch.
    """

    install = "pip install ctranslate2==4.8.5"
    packages: tuple[str, ...] = ("ctranslate2",)
    _model: Any = None
    _tokens: Sequence[str] = ()

    def __init__(self, precision: str, replicas: bool = False) -> None:
        self.name = f"CTranslate2 {precision}{' replicas' if replicas else ''}"
        self.precision, self._replicas = precision, replicas

    def prepare(self, weights: Weights, folder: Path) -> None:
        """Convert to FOLDER/ctranslate2, in fp32 for both precisions. Raises ImportError."""
        import ctranslate2
        from tokenizers import Tokenizer

        converted = convert_once(
            folder / "ctranslate2",
            lambda path: ctranslate2.converters.TransformersConverter(str(weights.hf)).convert(str(path)),
        )
        self._model = ctranslate2.Generator(
            str(converted),
            device="cpu",
            compute_type=COMPUTE_TYPES[self.precision],
            inter_threads=cores() if self._replicas else 1,
            intra_threads=1 if self._replicas else cores(),
        )
        tokenizer = Tokenizer.from_file(str(weights.hf / "tokenizer.json"))
        # It takes prompts as token strings, not as ids.
        self._tokens = [tokenizer.id_to_token(token) or "" for token in range(tokenizer.get_vocab_size())]

    def generate(self, prompts: Sequence[Prompt], new_tokens: int) -> list[list[int]]:
        """Generate one batch, or one for each replica, greedily."""
        results = self._model.generate_batch(
            [[self._tokens[token] for token in prompt] for prompt in prompts],
            max_batch_size=-(-len(prompts) // cores()) if self._replicas else 0,
            max_length=new_tokens,
            min_length=new_tokens,  # do not end before
            beam_size=1,
            sampling_topk=1,
            include_prompt_in_result=False,
        )
        return [result.sequences_ids[0] for result in results]


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
"""GGUF's names for GPT-2's parts, by transformers' names."""


class LlamaCpp:
    """llama.cpp.

    Args:
        kind: llama.cpp's name for the type of the weights: "f32", "q8_0" or "q4_0".
    """

    install = "pip install llama-cpp-python==0.3.36 gguf==0.19.0"
    packages: tuple[str, ...] = ("llama-cpp-python", "gguf")
    _model: Any = None
    _context: Any = None
    _shape: tuple[int, int] = (0, 0)

    def __init__(self, kind: str) -> None:
        self.name, self.precision, self._kind = f"llama.cpp {kind}", PRECISIONS[kind], kind

    def prepare(self, weights: Weights, folder: Path) -> None:
        """Write FOLDER/f32.gguf, and quantize it like llama.cpp's own tool. Raises ImportError, RuntimeError."""
        import llama_cpp

        llama_cpp.llama_backend_init()
        file = convert_once(folder / "f32.gguf", lambda path: write_gguf(weights.hf, path))
        if self._kind != "f32":
            file = convert_once(folder / f"{self._kind}.gguf", partial(self._quantise, file))
        self._model = llama_cpp.llama_model_load_from_file(str(file).encode(), llama_cpp.llama_model_default_params())
        if not self._model:
            raise RuntimeError(f"llama.cpp cannot load {file}")

    def generate(self, prompts: Sequence[Prompt], new_tokens: int) -> list[list[int]]:
        """Generate one batch: prefill all prompts, then decode one token of each sequence at a time."""
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
        """Make a context for `rows` sequences of this length, unless the last one was the same."""
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
            raise RuntimeError(f"llama.cpp cannot make a context for {rows} sequences of {shape[1]} tokens")

    def _decode(self, tokens: np.ndarray, position: int) -> np.ndarray:
        """Compute `tokens`, int64 [rows, length], from `position` on.

        Return the likeliest next token of each row, int64 [rows].
        """
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
            raise RuntimeError(f"llama.cpp cannot quantize {source} to {self._kind}")


def write_gguf(hf: Path, file: Path) -> None:
    """Write the fp32 weights in `hf`, a folder in transformers' PyTorch layout, without a vocabulary.

    llama.cpp uses the token embedding as the head, too, like GPT-2.

    Raises:
        KeyError: a weight does not belong to GPT-2.
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
        if name != "lm_head.weight":  # some versions write the token embedding again as the head
            writer.add_tensor(gguf_name(name), _laid_out(name, weight))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf_name(name: str) -> str:
    """Return GGUF's name for "transformer.h.3.attn.c_attn.weight": "blk.3.attn_qkv.weight"."""
    part, kind = name.removeprefix("transformer.").rsplit(".", 1)
    if not part.startswith("h."):
        return f"{PARTS[part]}.{kind}"
    _, block, part = part.split(".", 2)
    return f"blk.{block}.{PARTS[part]}.{kind}"


def _laid_out(name: str, weight: np.ndarray) -> np.ndarray:
    """Return a weight in GGUF's layout: matrices are [out, in], but [in, out] in transformers.

    The embeddings need no change.
    """
    is_matrix = weight.ndim == 2 and "emb" not in gguf_name(name)
    return np.ascontiguousarray(weight.T if is_matrix else weight, dtype=np.float32)


HINTS: dict[str, dict[str, str]] = {
    "fp32": {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"},
    "int8": {},
    "int8 in f32": {"INFERENCE_PRECISION_HINT": "f32"},
}
"""OpenVINO's hints for each variant.

By default OpenVINO computes in bfloat16 if the processor can, and keeps the cache in 8 bits. That would not be fp32.
But with int8 weights and few requests at once, f32 is faster even on such a processor.
"""

BATCHED_TOKENS = 4096
"""The most tokens in one step, enough for all prompts. OpenVINO's default, 256, is slower at 64."""


class OpenVino:
    """OpenVINO GenAI with continuous batching.

    Args:
        hints: "fp32"; "int8" for int8 weights and OpenVINO's own choice otherwise; "int8 in f32" for int8 weights and
            products in float32.
    """

    install = "pip install openvino-genai==2026.4.1.0 optimum-intel==1.27.0 nncf==3.4.0"
    packages: tuple[str, ...] = ("openvino", "openvino-genai", "optimum-intel", "nncf")
    _pipeline: Any = None

    def __init__(self, hints: str) -> None:
        self.name, self.precision, self._hints = f"OpenVINO {hints}", hints.split()[0], HINTS[hints]

    def prepare(self, weights: Weights, folder: Path) -> None:
        """Export to FOLDER/openvino-fp32 or FOLDER/openvino-int8. Raises ImportError."""
        import openvino_genai
        from optimum.intel import OVModelForCausalLM

        def export(path: Path) -> None:
            compressed = self.precision == "int8"
            model = OVModelForCausalLM.from_pretrained(weights.hf, export=True, load_in_8bit=compressed, compile=False)
            model.save_pretrained(path)
            _write_tokenizer(weights.hf, path)

        exported = convert_once(folder / f"openvino-{self.precision}", export)
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.max_num_batched_tokens = BATCHED_TOKENS
        scheduler.enable_prefix_caching = False  # no two prompts share a prefix
        config = {"INFERENCE_NUM_THREADS": cores(), **self._hints}
        self._pipeline = openvino_genai.ContinuousBatchingPipeline(exported, scheduler, "CPU", config)

    def generate(self, prompts: Sequence[Prompt], new_tokens: int) -> list[list[int]]:
        """Submit a request for each prompt, all together."""
        import numpy as np
        import openvino_genai
        from openvino import Tensor

        settings = openvino_genai.GenerationConfig()
        settings.max_new_tokens = new_tokens
        settings.ignore_eos = True
        settings.do_sample = False
        requests = [Tensor(np.array([prompt], dtype=np.int64)) for prompt in prompts]
        results = self._pipeline.generate(requests, [settings] * len(requests))
        return [list(result.m_generation_ids[0]) for result in results]


def _write_tokenizer(hf: Path, folder: Path) -> None:
    """Write a tokenizer: the pipeline needs one to open, although it only handles token ids here."""
    from openvino import save_model
    from openvino_tokenizers import convert_tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(hf / "tokenizer.json"))
    encoder, decoder = convert_tokenizer(tokenizer, with_detokenizer=True)
    save_model(encoder, folder / "openvino_tokenizer.xml")
    save_model(decoder, folder / "openvino_detokenizer.xml")
