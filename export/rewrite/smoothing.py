"""Activations whose reach is known beforehand, so that one fixed scale quantizes them.

What a layer norm gives reaches about as far in one text as in another, but further in some channels than in others.
SmoothQuant (Xiao et al. 2023, arXiv:2211.10438) divides each channel by a factor, in the norm's own weights, and
multiplies the next product's weights by it: the same numbers, with the channels' differences shared between the two.
Attention gives averages of the values, which `export.rewrite.int8_cache` has evened out to at most 1.
"""

from collections.abc import Mapping

import numpy as np
from onnx import NodeProto
from onnxruntime.transformers.onnx_model import OnnxModel

from export.checkpoint import Dimensions
from export.rewrite.nodes import constant, reader_of, replace_weight, stored_value, weight_of, writer_of

SHARE = 0.5
"""How much of the channels' differences the weights take over: 0 none, 1 all."""

MARGIN = 1.05
"""What was met in calibration, and a little more, is what the scale reaches."""


def normed_products(graph: OnnxModel, model: Dimensions) -> list[NodeProto]:
    """The products that read a layer norm: of each layer the one into attention and the first of the MLP."""
    names = ("attn.c_attn", "mlp.c_fc")
    return [reader_of(graph, f"transformer.h.{layer}.{name}.weight") for layer in range(model.layers) for name in names]


def smooth(graph: OnnxModel, model: Dimensions, peaks: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Evens out what the norms give; for the input of each product but the MLP's last, how far it reaches.

    peaks: for each input of `normed_products` the largest magnitude of each channel, float32 [width]. To come after
    `quantize_cache` and before the weights are quantized. Raises ExportError where a norm is not where it should be.
    """
    reaches: dict[str, float] = {}
    for product in normed_products(graph, model):
        norm = writer_of(graph, product.input[0], "LayerNormalization")
        weight, peak = weight_of(graph, product.input[1]), np.maximum(peaks[product.input[0]], 1e-6)
        rows = np.maximum(np.abs(weight).max(axis=1), 1e-6)
        factors = (peak**SHARE / rows ** (1 - SHARE)).astype(np.float32)
        replace_weight(graph, product.input[1], weight * factors[:, None])
        for place in (1, 2):
            even = stored_value(graph, norm.input[place]) / factors
            norm.input[place] = constant(graph, f"{product.input[1]}.norm.{place}", even.astype(np.float32))
        reaches[product.input[0]] = float((peak / factors).max()) * MARGIN
    for layer in range(model.layers):
        reaches[reader_of(graph, f"transformer.h.{layer}.attn.c_proj.weight").input[0]] = 1.0
    return reaches
