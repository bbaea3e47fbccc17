"""An int8 KV cache: a quarter of the memory, and of the bytes read by attention at every step.

GroupQueryAttention quantizes keys and values as it writes them. With one scale for all channels, this is twice as fast
as with a scale for each. The channels are therefore evened out beforehand, in the weights. Each channel of the keys is
divided by its peak, and the same channel of the queries is multiplied by it, so their products stay the same. Each
channel of the values is divided by its peak too, and the projection after attention is multiplied by it.
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
"""The largest magnitude of each channel, by name.

Caches are named "0.key", "0.value", "1.key" and so on, and have float32 [heads, head_dim]. The output of a layer norm
has its name in the graph, and float32 [width].
"""


def quantize_cache(graph: OnnxModel, model: Dimensions, peaks: Peaks) -> None:
    """Turn the caches of a rewritten float32 graph into int8, and keep their shape.

    The shape is [batch, heads, capacity, head_dim]. Call this before the weights are quantized. At inference, values
    beyond the peak of their channel are clipped.

    Raises:
        ExportError: a layer of the graph lacks this attention.
    """
    attentions = graph.get_nodes_by_op_type("GroupQueryAttention")
    if len(attentions) != model.layers:
        raise ExportError(f"{len(attentions)} attentions have an in-place cache, in {model.layers} layers.")
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
    """Give every channel of this layer's keys and values the peak 1."""
    keys, values = (_channels(peaks[f"{layer}.{side}"]) for side in ("key", "value"))
    factors = np.concatenate([keys, 1 / keys, 1 / values])
    into = reader_of(graph, f"transformer.h.{layer}.attn.c_attn.weight")
    out_of = reader_of(graph, f"transformer.h.{layer}.attn.c_proj.weight")
    replace_weight(graph, into.input[1], weight_of(graph, into.input[1]) * factors)
    replace_weight(graph, out_of.input[1], weight_of(graph, out_of.input[1]) * values[:, None])
    bias = constant(graph, f"transformer.h.{layer}.attn.c_attn.even_bias", stored_value(graph, into.input[2]) * factors)
    into.input[2] = bias


def _channels(peak: np.ndarray) -> np.ndarray:
    """Return peaks [width] without zeros.

    A channel of zeros gets the smallest peak of the others, or 1, because its true peak is unknown.
    """
    moved = peak[peak > 0]
    return np.where(peak > 0, peak, moved.min() if moved.size else 1).astype(np.float32).reshape(-1)
