"""How far numbers within the model reach on real text: what the fixed scales of int8 come from."""

import copy
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnxruntime.transformers.onnx_model import OnnxModel

from export.checkpoint import Dimensions
from export.graph import Graph
from export.perplexity import ScoredText
from export.rewrite.int8_cache import Peaks
from export.rewrite.smoothing import normed_products

TEXTS = 64
"""Held-out documents that are read, evenly spread; all of them where there are fewer."""


def watch(rewritten: onnx.ModelProto, model: Dimensions, file: Path) -> Graph:
    """A session on a copy of the rewritten float32 graph, kept in `file`, that shows what its layer norms give."""
    probe = OnnxModel(copy.deepcopy(rewritten))
    watched = [product.input[0] for product in normed_products(probe, model)]
    for name in watched:
        probe.graph().output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["tokens", None]))
    onnx.save(probe.model, file)
    return Graph(file, model, watched)


def measure_peaks(graph: Graph, texts: list[ScoredText]) -> Peaks:
    """The largest magnitude of each channel over `TEXTS` texts: of each cache, float32 [heads, head_dim], and of what
    the graph watches, float32 [width]."""
    count = min(TEXTS, len(texts))
    peaks: dict[str, np.ndarray] = {}
    for text in (texts[index * len(texts) // count] for index in range(count)):
        graph.logits(np.array([text.ids]))
        reached = {side: np.abs(values).max(axis=(0, 2)) for side, values in graph.cache.items()}
        reached |= {name: np.abs(values).max(axis=0) for name, values in graph.seen.items()}
        peaks = {name: np.maximum(peaks.get(name, peak), peak) for name, peak in reached.items()}
    return peaks
