"""From Optimum's graph to one for each precision."""

import copy

import onnx
from onnxruntime.transformers.onnx_model import OnnxModel

from export.checkpoint import Dimensions
from export.half_weights import store_half
from export.rewrite.attention import cache_in_place
from export.rewrite.gelu import fuse_gelu
from export.rewrite.half import to_half
from export.rewrite.head import gather_before_head
from export.rewrite.int8 import quantize_rows
from export.rewrite.int8_cache import Peaks, quantize_cache
from export.rewrite.smoothing import smooth
from export.rewrite.tied import share_tied_embedding
from export.rewrite.tokens import flatten_tokens

PRECISIONS = ("fp32", "int8", "fp16")


def rewrite(model: onnx.ModelProto, dimensions: Dimensions) -> onnx.ModelProto:
    """The float32 graph for the engine, from Optimum's `text-generation-with-past`, which is used up.

    Raises ExportError when Optimum's export is not the GPT-2 that the passes know.
    """
    graph = OnnxModel(model)
    flatten_tokens(graph)
    cache_in_place(graph, dimensions)
    gather_before_head(graph, dimensions)
    fuse_gelu(graph, dimensions)
    share_tied_embedding(graph)
    return graph.model


def in_precision(precision: str, rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks) -> onnx.ModelProto:
    """One of `PRECISIONS` of a rewritten float32 graph, which stays as it is.

    peaks: what `export.calibration` measured on real text.
    """
    graph = OnnxModel(copy.deepcopy(rewritten))
    if precision == "fp32":
        store_half(graph.model)
        return graph.model
    if precision == "fp16":
        return to_half(graph)
    quantize_cache(graph, dimensions, peaks)
    quantize_rows(graph, smooth(graph, dimensions, peaks))
    return graph.model
