"""The peaks of keys and values, in each channel and over evenly spread texts."""

from pathlib import Path

import numpy as np
import pytest

from export import calibration
from export.calibration import measure_peaks
from export.checkpoint import Checkpoint
from export.graph import Graph, sides
from export.perplexity import texts_to_score


@pytest.fixture(scope="module")
def graph(tiny_bundle: Path, checkpoint: Checkpoint) -> Graph:
    return Graph(tiny_bundle / "model.fp32.onnx", checkpoint.model)


def test_peaks_are_the_largest_magnitudes_of_each_channel(graph: Graph, checkpoint: Checkpoint) -> None:
    texts = texts_to_score(checkpoint)[:3]
    peaks = measure_peaks(graph, texts)
    assert sorted(peaks) == sorted(sides(checkpoint.model))
    reached = []
    for text in texts:
        graph.logits(np.array([text.ids]))
        reached.append(np.abs(graph.cache["1.key"][0]).max(axis=1))
    assert peaks["1.key"].dtype == np.float32
    assert np.array_equal(peaks["1.key"], np.max(reached, axis=0))


def test_few_of_many_texts_are_read_evenly_spread(
    graph: Graph, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = texts_to_score(checkpoint)[:9]
    monkeypatch.setattr(calibration, "TEXTS", 3)
    spread, chosen = measure_peaks(graph, texts), measure_peaks(graph, texts[::3])
    assert all(np.array_equal(spread[side], chosen[side]) for side in sides(checkpoint.model))
    assert not np.array_equal(spread["0.key"], measure_peaks(graph, texts[:3])["0.key"])
