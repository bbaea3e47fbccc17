"""8-bit products are close to float32, and their rows do not depend on one another."""

import copy
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.onnx_model import OnnxModel

from export.checkpoint import Dimensions
from export.errors import ExportError
from export.rewrite.int8 import GELU_LEAST, ROW_PEAK, ROW_ZERO, WEIGHT_PEAK, quantize_columns, quantize_rows
from export.rewrite.nodes import MICROSOFT
from export.rewrite.tied import EMBEDDING
from tests.export.rewrite.networks import network, outputs_of, random_weights
from tests.export.rows import Rows, furthest, random_ids, session_on

WEIGHTS = random_weights()


def by_hand(rows: np.ndarray, weight: np.ndarray, least: float = 0.0) -> np.ndarray:
    """Compute the quantized product in float64.

    Args:
        rows: [tokens, inputs].
        weight: [inputs, outputs].

    Returns:
        [tokens, outputs].
    """
    values, scales = quantize_columns(weight)
    steps = np.maximum(np.abs(rows).max(axis=1, keepdims=True), least) / ROW_PEAK
    quantized = np.rint(rows / np.where(steps > 0, steps, 1))
    product: np.ndarray = (quantized @ values.astype(np.float64)) * steps * scales
    return product


def test_a_column_comes_back_within_half_a_step() -> None:
    weight = WEIGHTS.first * np.logspace(-3, 3, WEIGHTS.first.shape[1], dtype=np.float32)
    values, scales = quantize_columns(weight)
    assert values.dtype == np.int8
    assert (np.abs(values).max(axis=0) == WEIGHT_PEAK).all()
    assert (np.abs(values * scales - weight) <= scales * 0.5001).all()


def test_a_column_of_zeros_comes_back_as_zeros() -> None:
    values, scales = quantize_columns(np.array([[0.0, 2.0], [0.0, -1.0]], np.float32))
    assert np.array_equal(values * scales, np.array([[0, 2], [0, -31 * np.float32(2 / 63)]], np.float32))


def test_products_are_those_computed_by_hand() -> None:
    ids = np.array([[1, 2, 3], [40, 5, 6]])
    graph = network(WEIGHTS)
    quantize_rows(graph)
    assert not graph.get_nodes_by_op_type("Gemm")
    found = outputs_of(graph.model, ids)
    values, scales = quantize_columns(WEIGHTS.embedding.T)
    assert np.array_equal(found["embedded"], (values.T * scales[:, None])[ids.reshape(-1)])
    inner = by_hand(found["embedded"], WEIGHTS.first) + WEIGHTS.first_bias
    gelu = inner / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (inner + 0.044715 * inner**3)))
    np.testing.assert_allclose(found["active"], gelu, atol=1e-4)
    # Starts from the graph's own activations: a value between two steps could round either way.
    outer = by_hand(found["active"], WEIGHTS.second, -GELU_LEAST) + WEIGHTS.second_bias
    np.testing.assert_allclose(found["outer"], outer, rtol=1e-4, atol=1e-4)
    logits = by_hand(found["outer"], WEIGHTS.embedding.T)
    np.testing.assert_allclose(found["logits"], logits, rtol=1e-4, atol=1e-3)


def test_a_row_of_zeros_gives_zeros_and_so_the_bias_exactly() -> None:
    embedding = WEIGHTS.embedding.copy()
    embedding[7] = 0
    ids = np.array([[7, 8, 7]])
    graph = network(replace(WEIGHTS, embedding=embedding))
    quantize_rows(graph)
    found = outputs_of(graph.model, ids)
    assert not found["embedded"][[0, 2]].any()
    biases = outputs_of(network(replace(WEIGHTS, embedding=embedding)).model, ids)["active"][0]
    assert np.array_equal(found["active"][0], biases)
    assert np.isfinite(found["logits"]).all()

    # With no bias before it, the activation of that row is all zeros too.
    graph = network(replace(WEIGHTS, embedding=embedding, first_bias=np.zeros_like(WEIGHTS.first_bias)))
    quantize_rows(graph)
    found = outputs_of(graph.model, ids)
    assert np.array_equal(found["outer"][0], WEIGHTS.second_bias)
    assert not np.array_equal(found["outer"][1], WEIGHTS.second_bias)


@pytest.mark.parametrize("width", [32, 64, 320])
def test_rows_are_independent_of_one_another_bit_by_bit(width: int) -> None:
    graph = network(random_weights(width=width, inner=4 * width))
    quantize_rows(graph)
    ids = np.arange(8)[:, None]
    together = outputs_of(graph.model, ids)["logits"]
    for row in range(8):
        assert np.array_equal(outputs_of(graph.model, ids[row : row + 1])["logits"][0], together[row])


def test_an_outlier_in_one_row_leaves_the_others_as_they_were() -> None:
    embedding = WEIGHTS.embedding.copy()
    embedding[9, 3] = 1e4
    graph = network(replace(WEIGHTS, embedding=embedding))
    quantize_rows(graph)
    with_it, without = (outputs_of(graph.model, np.array([[1, other, 2]])) for other in (9, 3))
    assert np.array_equal(with_it["outer"][[0, 2]], without["outer"][[0, 2]])


def test_the_largest_sums_are_exact_on_this_processor() -> None:
    """AVX2 may add pairs of products in 16 bits. Weights beyond WEIGHT_PEAK would saturate there."""
    rows = np.full((5, 256), ROW_ZERO + ROW_PEAK, np.uint8)
    weight = np.full((256, 32), WEIGHT_PEAK, np.int8)
    weight[:, ::2] *= -1
    assert 2 * rows.max().astype(int) * WEIGHT_PEAK <= np.iinfo(np.int16).max
    graph = helper.make_graph(
        [helper.make_node("MatMulIntegerToFloat", ["rows", "weight", "one", "one", "zero"], ["y"], domain=MICROSOFT)],
        "largest",
        [helper.make_tensor_value_info("rows", TensorProto.UINT8, ["tokens", 256])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["tokens", 32])],
        [
            numpy_helper.from_array(value, name)
            for name, value in (
                ("weight", weight),
                ("one", np.array(1, np.float32)),
                ("zero", np.array(ROW_ZERO, np.uint8)),
            )
        ],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid(MICROSOFT, 1)]
    session = session_on(helper.make_model(graph, opset_imports=imports, ir_version=10))
    (found,) = session.run(None, {"rows": rows})
    assert np.array_equal(found, (rows.astype(int) - ROW_ZERO) @ weight.astype(int))


def test_the_activation_is_never_under_the_least_value_that_rows_count_on() -> None:
    inputs = np.linspace(-4, 0, 32 * 1024, dtype=np.float32).reshape(-1, 32)
    identity = np.eye(32, dtype=np.float32)
    zeros = np.zeros(32, np.float32)
    weights = replace(WEIGHTS, embedding=inputs, first=identity, first_bias=zeros, second=identity, second_bias=zeros)
    active = outputs_of(network(weights).model, np.arange(len(inputs))[None])["active"]
    assert GELU_LEAST <= active.min() < GELU_LEAST + 1e-4


def test_logits_are_close_to_those_of_float32(rewritten: onnx.ModelProto, dimensions: Dimensions) -> None:
    graph = OnnxModel(copy.deepcopy(rewritten))
    quantize_rows(graph)
    texts = random_ids(dimensions, 60, 33, 47)
    found, expected = (Rows(model, dimensions, rows=3).read(texts) for model in (graph.model, rewritten))
    assert 0 < furthest(found, expected) < 0.5
    ours, theirs = np.concatenate(found), np.concatenate(expected)
    assert np.sqrt(np.mean((ours - theirs) ** 2)) < 0.05 * theirs.std()


def test_the_embedding_is_stored_once(rewritten: onnx.ModelProto, dimensions: Dimensions) -> None:
    graph = OnnxModel(copy.deepcopy(rewritten))
    quantize_rows(graph)
    types = {
        tensor.name: tensor.data_type
        for tensor in graph.model.graph.initializer
        if dimensions.vocab_size in tensor.dims and len(tensor.dims) > 1
    }
    assert types == {f"{EMBEDDING}.int8": TensorProto.INT8}


def test_a_graph_that_was_quantized_already_is_refused() -> None:
    graph = network(WEIGHTS)
    quantize_rows(graph)
    with pytest.raises(ExportError, match="logits is written by Mul, not by MatMul"):
        quantize_rows(graph)


def test_a_graph_without_lookup_is_refused() -> None:
    graph = network(WEIGHTS)
    next(node for node in graph.nodes() if node.op_type == "Gather").op_type = "GatherElements"
    with pytest.raises(ExportError, match="0 nodes look up tokens, not one"):
        quantize_rows(graph)


def test_a_product_whose_weight_is_computed_is_refused_by_name() -> None:
    graph = network(WEIGHTS)
    graph.model.graph.initializer.remove(graph.get_initializer("second"))
    with pytest.raises(ExportError, match="the graph contains no weight second"):
        quantize_rows(graph)
