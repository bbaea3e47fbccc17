"""GPT-2's weights in GGUF, llama.cpp's format: its conversion script is not on PyPI, only the writer that it uses."""

import json
from pathlib import Path

import numpy as np

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
