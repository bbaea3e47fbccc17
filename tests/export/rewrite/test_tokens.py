"""Tokens in one row: the same numbers, and no product between two reshapes."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.onnx_model import OnnxModel

from export.errors import ExportError
from export.rewrite.tokens import flatten_tokens
from tests.export.rows import session_on

WIDTH, VOCABULARY = 4, 7


def reshaped_product(behind: str = "Reshape") -> onnx.ModelProto:
    """Make a graph of embeddings, a product between two reshapes as in Optimum's, a residual and a head.

    Args:
        behind: the operator after the product.
    """
    random = np.random.default_rng(3)
    stored = {
        "transformer.wte.weight": random.normal(size=(VOCABULARY, WIDTH)).astype(np.float32),
        "transformer.wpe.weight": random.normal(size=(8, WIDTH)).astype(np.float32),
        "weight": random.normal(size=(WIDTH, WIDTH)).astype(np.float32),
        "bias": random.normal(size=WIDTH).astype(np.float32),
        "head": random.normal(size=(WIDTH, VOCABULARY)).astype(np.float32),
        "flat": np.array([-1, WIDTH], np.int64),
        "width": np.array([WIDTH], np.int64),
    }
    nodes = [
        helper.make_node("Shape", ["input_ids"], ["shape"]),
        helper.make_node("Concat", ["shape", "width"], ["whole"], axis=0),
        helper.make_node("Gather", ["transformer.wte.weight", "input_ids"], ["looked_up"]),
        helper.make_node("Gather", ["transformer.wpe.weight", "position_ids"], ["placed"]),
        helper.make_node("Add", ["looked_up", "placed"], ["embedded"]),
        helper.make_node("Reshape", ["embedded", "flat"], ["before"]),
        helper.make_node("Gemm", ["before", "weight", "bias"], ["product"], "the product"),
        helper.make_node(behind, ["product", "whole"][: 2 if behind == "Reshape" else 1], ["after"]),
        helper.make_node("Add", ["after", "embedded"], ["residual"]),
        helper.make_node("Reshape", ["residual", "whole"], ["parted"]),
        helper.make_node("MatMul", ["parted", "head"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "reshaped_product",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
            for name in ("input_ids", "position_ids")
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "sequence", VOCABULARY])],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def around_products(graph: OnnxModel) -> set[str]:
    """Return the operators before and after the products."""
    return {
        neighbour.op_type
        for product in graph.get_nodes_by_op_type("Gemm")
        for neighbour in (graph.output_name_to_node()[product.input[0]], *graph.get_children(product))
    }


def test_the_logits_stay_the_same_without_reshapes_around_the_product() -> None:
    feeds = {"input_ids": np.array([[1, 2, 3], [6, 5, 0]]), "position_ids": np.array([[0, 1, 2], [3, 4, 5]])}
    graph = OnnxModel(reshaped_product())
    (before,) = session_on(graph.model).run(None, feeds)
    assert around_products(graph) == {"Reshape"}
    flatten_tokens(graph)
    assert around_products(graph) == {"Add"}
    (after,) = session_on(graph.model).run(None, feeds)
    assert after.shape == (2, 3, VOCABULARY)
    assert np.array_equal(after, before)


def test_optimums_products_are_all_freed(optimum_graph: onnx.ModelProto) -> None:
    graph = OnnxModel(optimum_graph)
    assert "Reshape" in around_products(graph)
    flatten_tokens(graph)
    assert len(graph.get_nodes_by_op_type("Gemm")) == 2 * 4
    # The readers of the attention's projection stay until the attention itself is replaced.
    assert around_products(graph) & {"LayerNormalization", "Add", "Mul"} == {"LayerNormalization", "Add", "Mul"}
    (lookup,) = graph.input_name_to_nodes()["transformer.wte.weight"]
    assert lookup.input[1] == "input_ids.flat"


def test_a_graph_without_products_is_refused() -> None:
    model = reshaped_product()
    next(node for node in model.graph.node if node.op_type == "Gemm").op_type = "Conv"
    with pytest.raises(ExportError, match="contains no Gemm: Optimum's export has changed its form"):
        flatten_tokens(OnnxModel(model))


def test_a_product_that_is_not_between_reshapes_is_refused_by_name() -> None:
    with pytest.raises(ExportError, match="the product is not followed by one Reshape"):
        flatten_tokens(OnnxModel(reshaped_product(behind="Relu")))
    model = reshaped_product()
    next(node for node in model.graph.node if node.output[0] == "before").op_type = "Flatten"
    with pytest.raises(ExportError, match="before is written by Flatten, not by Reshape"):
        flatten_tokens(OnnxModel(model))


def test_a_product_that_two_nodes_read_is_refused_by_name() -> None:
    model = reshaped_product()
    model.graph.node.append(helper.make_node("Relu", ["product"], ["elsewhere"]))
    with pytest.raises(ExportError, match="the product is not followed by one Reshape"):
        flatten_tokens(OnnxModel(model))


def test_an_embedding_that_is_read_twice_is_refused_by_name() -> None:
    model = reshaped_product()
    model.graph.node.append(helper.make_node("Gather", ["transformer.wpe.weight", "input_ids"], ["again"]))
    with pytest.raises(ExportError, match=r"2 nodes read transformer\.wpe\.weight, not one"):
        flatten_tokens(OnnxModel(model))
