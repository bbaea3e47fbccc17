"""Rewriting Optimum's graph into one graph for each precision."""

import copy
from dataclasses import replace

import numpy as np
import onnx
import pytest

from export import cli
from export.bundle import CACHE_TYPES
from export.checkpoint import Dimensions
from export.errors import ExportError
from export.graph import check_interface, engine_interface
from export.rewrite.int8_cache import Peaks
from export.rewrite.precisions import PRECISIONS, in_precision, rewrite
from tests.export.rows import Optimum, Rows, furthest, random_ids


def test_the_rewritten_graph_is_optimums(rewritten: onnx.ModelProto, dimensions: Dimensions, optimum: Optimum) -> None:
    check_interface(rewritten, engine_interface(dimensions))
    texts = random_ids(dimensions, 100, 3, 64)
    found = Rows(rewritten, dimensions, rows=3).read(texts)
    assert furthest(found, [optimum.logits(text) for text in texts]) < 1e-5


@pytest.mark.parametrize("precision", PRECISIONS)
def test_each_leaves_the_rewritten_graph_as_it_was(
    rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks, precision: str
) -> None:
    before = rewritten.SerializeToString(deterministic=True)
    given = {side: values.copy() for side, values in peaks.items()}
    model = in_precision(precision, rewritten, dimensions, peaks)
    assert rewritten.SerializeToString(deterministic=True) == before
    assert all(np.array_equal(peaks[side], values) for side, values in given.items())
    assert model.SerializeToString(deterministic=True) != before
    check_interface(model, engine_interface(dimensions, CACHE_TYPES[precision]))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_each_is_the_same_every_time(
    rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks, precision: str
) -> None:
    one, other = (in_precision(precision, copy.deepcopy(rewritten), dimensions, peaks) for _ in range(2))
    assert one.SerializeToString() == other.SerializeToString()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_rows_do_not_depend_on_one_another_bit_by_bit(
    rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks, precision: str
) -> None:
    """The engine promises the same numbers for a text alone and among others.

    Each text is read at once, up to its last two tokens. Those follow one at a time.
    """
    model = in_precision(precision, rewritten, dimensions, peaks)
    texts = random_ids(dimensions, 12, 40, 5, 33, 12, 3, 27, 64)
    together = Rows(model, dimensions, rows=len(texts))
    parts = [slice(None, -2), slice(-2, -1), slice(-1, None)]
    read = [together.read([text[part] for text in texts]) for part in parts]
    for row, text in enumerate(texts):
        alone = Rows(model, dimensions, rows=1)
        for part, logits in zip(parts, read, strict=True):
            assert np.array_equal(alone.read([text[part]])[0], logits[row])


@pytest.mark.parametrize(("precision", "chunk"), [("fp32", 16), ("fp32", 48), ("int8", 1), ("int8", 16), ("int8", 48)])
def test_a_text_read_in_chunks_is_bit_by_bit_the_one_read_at_once(
    rewritten: onnx.ModelProto, dimensions: Dimensions, peaks: Peaks, precision: str, chunk: int
) -> None:
    """Nothing may depend on the number of whole blocks of the prompt already in the cache.

    Token by token, float32 rounds differently in the last bit; int8 does not.
    """
    model = in_precision(precision, rewritten, dimensions, peaks)
    (text,) = random_ids(dimensions, 96)
    (whole,) = Rows(model, dimensions, rows=1).read([text])
    rows = Rows(model, dimensions, rows=1)
    parts = [rows.read([text[start : start + chunk]])[0] for start in range(0, len(text), chunk)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_optimums_graph_of_another_model_is_refused(optimum_graph: onnx.ModelProto, dimensions: Dimensions) -> None:
    with pytest.raises(ExportError, match="Optimum's export has changed its form"):
        rewrite(optimum_graph, replace(dimensions, layers=3))


def test_the_command_and_the_bundle_know_the_same_precisions() -> None:
    assert cli.PRECISIONS == PRECISIONS
    assert set(CACHE_TYPES) == set(PRECISIONS)
