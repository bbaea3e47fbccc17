"""Rewriting Optimum's graph into one graph for each precision."""

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
    """Turn Optimum's `text-generation-with-past` into the float32 graph for the engine, in place.

    Raises:
        ExportError: Optimum's export is not the GPT-2 known to the passes.
    """
    graph = OnnxModel(model)
    flatten_tokens(graph)
    cache_in_place(graph, dimensions)
    gather_before_head(graph, dimensions)
    fuse_gelu(graph, dimensions)
    share_tied_embedding(graph)
    return graph.model


def in_precision(precision: str, rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks) -> onnx.ModelProto:
    """Return a copy of a rewritten float32 graph in `precision`, one of `PRECISIONS`.

    Args:
        peaks: the largest magnitudes on real text, from `export.calibration`.
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
