"""Evening out activations, so that one fixed scale can quantize them.

The output of a layer norm has nearly the same range in every text, but a wider range in some channels than in others.
SmoothQuant (Xiao et al. 2023, arXiv:2211.10438) divides each channel by a factor, in the weights of the norm, and
multiplies the weights of the next product by it. The result is the same, and the two share the differences between the
channels. The output of attention is an average of the values, evened out to at most 1 by `export.rewrite.int8_cache`.
"""

from collections.abc import Mapping

import numpy as np
from onnx import NodeProto
from onnxruntime.transformers.onnx_model import OnnxModel

from export.checkpoint import Dimensions
from export.rewrite.nodes import constant, reader_of, replace_weight, stored_value, weight_of, writer_of

SHARE = 0.55
"""The weights' share of the differences between channels, from 0 for none to 1 for all.

The paper's default is 0.5. For the model that ships, int8 costs 0.56 % of perplexity with 0.5, 0.15 % with 0.55 and
0.30 % with 0.6 (`plotify export`, 30 November 2026).
"""

MARGIN = 1.05
"""Factor on the largest magnitude found in calibration, for inputs that go a little further."""


def normed_products(graph: OnnxModel, model: Dimensions) -> list[NodeProto]:
    """Return the products that read a layer norm: in each layer, attention's first and the MLP's first."""
    names = ("attn.c_attn", "mlp.c_fc")
    return [reader_of(graph, f"transformer.h.{layer}.{name}.weight") for layer in range(model.layers) for name in names]


def smooth(graph: OnnxModel, model: Dimensions, peaks: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Even out the outputs of the norms, and return the largest magnitude of each product's input.

    The last product of the MLP is left out. Call this after `quantize_cache`, and before the weights are quantized.

    Args:
        peaks: the largest magnitude of each channel, float32 [width], for each input of `normed_products`.

    Raises:
        ExportError: a norm is not in its place.
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
