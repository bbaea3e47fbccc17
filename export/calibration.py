"""How far keys and values reach on real text: what the scales of an int8 cache come from."""

import numpy as np

from export.graph import Graph
from export.perplexity import ScoredText
from export.rewrite.int8_cache import Peaks

TEXTS = 64
"""Held-out documents that are read, evenly spread; all of them where there are fewer."""


def measure_peaks(graph: Graph, texts: list[ScoredText]) -> Peaks:
    """The largest magnitude of each channel of each cache over `TEXTS` texts: float32 [heads, head_dim]."""
    count = min(TEXTS, len(texts))
    peaks: dict[str, np.ndarray] = {}
    for text in (texts[index * len(texts) // count] for index in range(count)):
        graph.logits(np.array([text.ids]))
        for side, values in graph.cache.items():
            reached = np.abs(values).max(axis=(0, 2))
            peaks[side] = np.maximum(peaks.get(side, reached), reached)
    return peaks
