"""The interface of a model's graph, checked against the bundle's manifest."""

from typing import Any

import numpy as np
import onnxruntime as ort

from server.bundle import Bundle, BundleError

CACHE_TYPES: dict[str, type[np.number[Any]]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int8)": np.int8,
}

INPUTS = {"input_ids", "position_ids", "seqlens_k", "total_sequence_length", "last_tokens"}
"""The names of the inputs besides the keys and values of each layer."""


def cache_dtype(session: ort.InferenceSession, bundle: Bundle, precision: str) -> type[np.number[Any]]:
    """Return the dtype of the keys and values in the cache.

    Raises:
        BundleError: the inputs and outputs differ from the manifest in names, dimensions or types.
    """
    shape, promised = bundle.manifest.model, bundle.manifest.precisions[precision].cache_type
    inputs = {entry.name: entry for entry in session.get_inputs()}
    sides = {f"past_key_values.{layer}.{side}" for layer in range(shape.layers) for side in ("key", "value")}
    kinds = {inputs[name].type for name in sides & inputs.keys()}
    dtype = CACHE_TYPES.get(kinds.pop()) if len(kinds) == 1 else None
    if (
        inputs.keys() != INPUTS | sides
        or dtype is None
        or promised not in (None, np.dtype(dtype).name)
        or any(inputs[name].shape[1::2] != [shape.heads, shape.head_dim] for name in sides)
        or session.get_outputs()[0].shape[1:] != [shape.vocab_size]
    ):
        raise BundleError(
            f"{bundle.model_file(precision)}: its inputs and outputs are not those of a {shape.layers}-layer GPT-2 "
            "with an in-place cache and the dimensions and cache type of bundle.json; export the checkpoint again"
        )
    return dtype
