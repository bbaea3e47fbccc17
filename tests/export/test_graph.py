"""Checks of a graph's inputs and outputs, and running a graph with its cache."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from export.checkpoint import Checkpoint, Dimensions
from export.errors import ExportError
from export.graph import BLOCK, Graph, check_interface, engine_interface, optimum_interface, sides
from tests.export.rows import random_ids


@pytest.fixture
def graph(tiny_bundle: Path, dimensions: Dimensions) -> Graph:
    return Graph(tiny_bundle / "model.fp32.onnx", dimensions)


def test_optimums_interface_and_the_engines_are_told_apart(
    optimum_graph: onnx.ModelProto, rewritten: onnx.ModelProto, dimensions: Dimensions
) -> None:
    check_interface(optimum_graph, optimum_interface(dimensions))
    check_interface(rewritten, engine_interface(dimensions))
    with pytest.raises(
        ExportError, match=r"not the expected ones: attention_mask, last_tokens, logits, seqlens_k, total"
    ):
        check_interface(optimum_graph, engine_interface(dimensions))


def test_a_cache_of_another_type_is_named(rewritten: onnx.ModelProto, dimensions: Dimensions) -> None:
    with pytest.raises(ExportError, match=r"ones: past_key_values\.0\.key, .*, present\.1\.value\.$"):
        check_interface(rewritten, engine_interface(dimensions, TensorProto.INT8))


def test_weights_in_another_file_are_refused(optimum_graph: onnx.ModelProto, dimensions: Dimensions) -> None:
    tensor = optimum_graph.graph.initializer[0]
    tensor.external_data.add(key="location", value="model.onnx_data")
    with pytest.raises(ExportError, match=rf"weights outside its file \({tensor.name} and others\): it is over 2 GB"):
        check_interface(optimum_graph, optimum_interface(dimensions))


def test_steps_behind_a_cache_are_the_whole_texts(graph: Graph, dimensions: Dimensions) -> None:
    ids = np.stack(random_ids(dimensions, 30, 30))
    whole = graph.logits(ids)
    assert whole.shape == (2, 30, dimensions.vocab_size)
    parts = [graph.logits(ids[:, :27], room=3), *(graph.step(ids[:, [index]]) for index in (27, 28, 29))]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-5 * whole.std())


def test_several_tokens_behind_a_cache_are_the_whole_text(graph: Graph, dimensions: Dimensions) -> None:
    (ids,) = random_ids(dimensions, 30)
    whole = graph.logits(ids[None])
    parts = [graph.logits(ids[None, :13], room=17), graph.step(ids[None, 13:])]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-5 * whole.std())


def test_the_cache_holds_what_was_read_and_no_more(graph: Graph, dimensions: Dimensions) -> None:
    (ids,) = random_ids(dimensions, BLOCK + 1)
    graph.logits(ids[None])
    assert sorted(graph.cache) == sorted(sides(dimensions))
    for values in graph.cache.values():
        assert values.shape == (1, dimensions.heads, BLOCK + 1, dimensions.head_dim)
        assert values.any(axis=(1, 3)).all()
    graph.logits(ids[None, :3])
    assert graph.cache["1.value"].shape[2] == 3


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_every_precision_runs_and_goes_on(
    tiny_bundle: Path, checkpoint: Checkpoint, graph: Graph, precision: str
) -> None:
    ids = np.array([checkpoint.encode("Drama: A lighthouse keeper finds a letter")])
    other = Graph(tiny_bundle / f"model.{precision}.onnx", checkpoint.model)
    for each in (graph, other):
        each.logits(ids, room=1)
    expected, found = (each.step(np.array([[7]])) for each in (graph, other))
    assert found.shape == (1, 1, checkpoint.model.vocab_size)
    assert np.corrcoef(found.reshape(-1), expected.reshape(-1))[0, 1] > 0.9
    assert {values.dtype for values in other.cache.values()} == {np.dtype("f2" if precision == "fp16" else "i1")}
