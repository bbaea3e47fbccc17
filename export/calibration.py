"""Measuring the largest numbers inside the model on real text, for the fixed scales of int8."""

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
"""Number of held-out documents to read, evenly spread, or all of them if there are fewer."""


def watch(rewritten: onnx.ModelProto, model: Dimensions, file: Path) -> Graph:
    """Save a copy of the rewritten float32 graph that also outputs its layer norms, and open it.

    Args:
        file: path for the copy.
    """
    probe = OnnxModel(copy.deepcopy(rewritten))
    watched = [product.input[0] for product in normed_products(probe, model)]
    for name in watched:
        probe.graph().output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["tokens", None]))
    onnx.save(probe.model, file)
    return Graph(file, model, watched)


def measure_peaks(graph: Graph, texts: list[ScoredText]) -> Peaks:
    """Return the largest magnitude of each channel over `TEXTS` texts.

    The magnitudes are float32, [heads, head_dim] for each cache and [width] for each watched output of the graph.
    """
    count = min(TEXTS, len(texts))
    peaks: dict[str, np.ndarray] = {}
    for text in (texts[index * len(texts) // count] for index in range(count)):
        graph.logits(np.array([text.ids]))
        reached = {side: np.abs(values).max(axis=(0, 2)) for side, values in graph.cache.items()}
        reached |= {name: np.abs(values).max(axis=0) for name, values in graph.seen.items()}
        peaks = {name: np.maximum(peaks.get(name, peak), peak) for name, peak in reached.items()}
    return peaks
