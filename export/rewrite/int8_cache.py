"""A KV cache of int8: a quarter of the memory, and of the bytes that attention reads at every step.

GroupQueryAttention quantizes keys and values as it writes them. With one scale for all it does so twice as fast as with
a scale for each channel, so the channels are made alike beforehand, in the weights: a channel of the keys is divided by
its peak and the same channel of the queries multiplied by it, which leaves their products as they were; what the values
are divided by, the projection behind the attention is multiplied by.
"""

from collections.abc import Mapping

import numpy as np
from onnx import TensorProto, helper
from onnxruntime.transformers.onnx_model import OnnxModel

from export.checkpoint import Dimensions
from export.errors import ExportError
from export.rewrite.nodes import constant, reader_of, replace_weight, stored_value, weight_of

PEAK = 127

Peaks = Mapping[str, np.ndarray]
"""For "0.key", "0.value", "1.key" and so on: the largest magnitude of each channel, float32 [heads, head_dim].

For what layer norms give, by its name in the graph, float32 [width]."""


def quantize_cache(graph: OnnxModel, model: Dimensions, peaks: Peaks) -> None:
    """Turns the caches of a rewritten float32 graph to int8, [batch, heads, capacity, head_dim] as before.

    To come before the weights are quantized. What exceeds its channel's peak later is clipped. Raises ExportError for
    a graph without this attention in every layer.
    """
    attentions = graph.get_nodes_by_op_type("GroupQueryAttention")
    if len(attentions) != model.layers:
        raise ExportError(f"{len(attentions)} attentions have a cache in place, in {model.layers} layers.")
    scale = constant(graph, "cache.scale", np.array([1 / PEAK], np.float32))
    for layer in range(model.layers):
        _even_out(graph, layer, peaks)
    for attention in attentions:
        attention.input.extend([*[""] * (12 - len(attention.input)), scale, scale])
        for attribute in ("k_quant_type", "v_quant_type"):
            attention.attribute.append(helper.make_attribute(attribute, "PER_TENSOR"))
        attention.attribute.append(helper.make_attribute("kv_cache_bit_width", 8))
    for value in [*graph.graph().input, *graph.graph().output]:
        if value.name.startswith(("past_key_values.", "present.")):
            value.type.tensor_type.elem_type = TensorProto.INT8


def _even_out(graph: OnnxModel, layer: int, peaks: Peaks) -> None:
    """Gives every channel of this layer's keys and values the peak 1."""
    keys, values = (_channels(peaks[f"{layer}.{side}"]) for side in ("key", "value"))
    factors = np.concatenate([keys, 1 / keys, 1 / values])
    into = reader_of(graph, f"transformer.h.{layer}.attn.c_attn.weight")
    out_of = reader_of(graph, f"transformer.h.{layer}.attn.c_proj.weight")
    replace_weight(graph, into.input[1], weight_of(graph, into.input[1]) * factors)
    replace_weight(graph, out_of.input[1], weight_of(graph, out_of.input[1]) * values[:, None])
    bias = constant(graph, f"transformer.h.{layer}.attn.c_attn.even_bias", stored_value(graph, into.input[2]) * factors)
    into.input[2] = bias


def _channels(peak: np.ndarray) -> np.ndarray:
    """Peaks [width], none of them zero: a channel that never moved cannot say how far it might."""
    moved = peak[peak > 0]
    return np.where(peak > 0, peak, moved.min() if moved.size else 1).astype(np.float32).reshape(-1)
