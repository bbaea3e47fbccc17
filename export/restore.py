"""Turning a bundle back into a checkpoint, so that training can go on from it.

The passes of `export.rewrite` move factors between weights, but keep the function of the model. So the weights of a
graph are those of a GPT-2 as they stand, once int8 values are multiplied by their scales.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.transformers.onnx_model import OnnxModel

from export.bundle import sha256_of
from export.checkpoint import Dimensions
from export.errors import ExportError
from export.folder import whole_folder
from export.rewrite.nodes import stored_value, weight_of
from export.rewrite.tied import EMBEDDING

CLOSEST = ("fp32", "fp16", "int8")
"""The precisions of a bundle, from the one that is closest to the trained weights."""

NORMS = ("ln_1", "ln_2")
PRODUCTS = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")


def restore_checkpoint(bundle: Path, out: Path, force: bool = False) -> str:
    """Write the weights of a bundle into the checkpoint `out`, and return the precision used.

    The checkpoint is a base for `plotify train`: weights, tokenizer and template. It lacks the test split, so it cannot
    be exported before it is trained.

    Args:
        force: replace an existing checkpoint.

    Raises:
        ExportError: `bundle` is not a bundle, or damaged. `out` stays as it was.
    """
    from safetensors.numpy import save_file  # of the extra `train`

    manifest = read_manifest(bundle)
    precision = next((name for name in CLOSEST if name in manifest["precisions"]), None)
    if precision is None:
        raise ExportError(f"{bundle}: it has none of the precisions {', '.join(CLOSEST)}.")
    graph = OnnxModel(onnx.load(checked_file(bundle, manifest["precisions"][precision])))
    model = Dimensions(**manifest["model"])
    with whole_folder(out, "plotify.json", force) as building:
        save_file(weights_of(graph, model), building / "model.safetensors", metadata={"format": "pt"})
        shutil.copyfile(checked_file(bundle, manifest["tokenizer"]), building / "tokenizer.json")
        config = {
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "vocab_size": model.vocab_size,
            "n_positions": model.context,
            "n_embd": model.heads * model.head_dim,
            "n_layer": model.layers,
            "n_head": model.heads,
            "bos_token_id": model.end_of_text,
            "eos_token_id": model.end_of_text,
            "embd_pdrop": 0.0,
            "resid_pdrop": 0.0,
            "attn_pdrop": 0.0,
        }
        (building / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        described = {field: manifest[field] for field in ("name", "prompt", "sampling", "provenance")}
        text = json.dumps(described, indent=1, ensure_ascii=False) + "\n"
        (building / "plotify.json").write_text(text, encoding="utf-8")
    return precision


def weights_of(graph: OnnxModel, model: Dimensions) -> dict[str, np.ndarray]:
    """Return the float32 weights of a rewritten graph, of any precision.

    Their names are those of Hugging Face's GPT-2.
    """
    weights = {name: weight_in(graph, name) for name in (EMBEDDING, "transformer.wpe.weight")}
    norms = iter(node for node in graph.nodes() if node.op_type == "LayerNormalization")
    for layer in range(model.layers):
        for place in NORMS:
            weights |= norm_weights(graph, next(norms, None), f"transformer.h.{layer}.{place}")
        for place in PRODUCTS:
            name = f"transformer.h.{layer}.{place}"
            weights[f"{name}.weight"] = weight_in(graph, f"{name}.weight")
            even = f"{name}.even_bias"
            weights[f"{name}.bias"] = weight_in(graph, even if graph.get_initializer(even) else f"{name}.bias")
    return weights | norm_weights(graph, next(norms, None), "transformer.ln_f")


def norm_weights(graph: OnnxModel, norm: onnx.NodeProto | None, name: str) -> dict[str, np.ndarray]:
    if norm is None:
        raise ExportError(f"the graph has no {name}: it is not a GPT-2 written by `plotify export`.")
    scale, shift = (stored_value(graph, each).astype(np.float32) for each in norm.input[1:3])
    return {f"{name}.weight": scale, f"{name}.bias": shift}


def weight_in(graph: OnnxModel, name: str) -> np.ndarray:
    """Return a weight as float32.

    It is stored as float32, as float16, or as int8 with a scale for each column (of the embedding: for each token).
    """
    if graph.get_initializer(f"{name}.int8") is None:
        return stored_value(graph, name).astype(np.float32)
    values, scales = weight_of(graph, f"{name}.int8"), weight_of(graph, f"{name}.scale")
    product: np.ndarray = values * (scales[:, None] if name == EMBEDDING else scales)
    return product


def read_manifest(bundle: Path) -> dict[str, Any]:
    """Return the manifest of a bundle.

    Raises:
        ExportError: there is none, or it cannot be read.
    """
    file = bundle / "bundle.json"
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        for field in ("model", "prompt", "sampling", "tokenizer", "precisions", "provenance"):
            manifest[field]
    except OSError as error:
        raise ExportError(f"{bundle} is not a bundle: {file.name} cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError) as wrong:
        raise ExportError(f"{file}: not the manifest of a bundle ({wrong!r}).") from wrong
    return manifest


def checked_file(bundle: Path, described: dict[str, Any]) -> Path:
    """Return the path of a file named in the manifest.

    Raises:
        ExportError: the file is missing, or is not the one that the manifest describes.
    """
    file = bundle / str(described["file"])
    try:
        digest = sha256_of(file)
    except OSError as error:
        raise ExportError(f"{file}: cannot be read ({error.strerror}).") from error
    if digest != described["sha256"]:
        raise ExportError(f"{file}: damaged, its SHA-256 is not the one in bundle.json. Fetch the bundle again.")
    return file
