"""float16 storage on a graph of two products, small enough to check every number."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from export.half_weights import store_half

EXACT = np.array([[0.5, -1.25], [3.0, 2.0**-14]], np.float32)
ROUNDED = np.array([[0.1, 0.2], [0.3, 0.4]], np.float32)
BIAS = np.array([0.5, 0.25], np.float32)


def two_products() -> onnx.ModelProto:
    """Make the graph of x · exact · rounded + bias."""
    nodes = [
        helper.make_node("MatMul", ["x", "exact"], ["a"]),
        helper.make_node("MatMul", ["a", "rounded"], ["b"]),
        helper.make_node("Add", ["b", "bias"], ["y"]),
    ]
    shape: list[str | int | None] = ["rows", 2]
    graph = helper.make_graph(
        nodes,
        "two_products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [
            numpy_helper.from_array(array, name)
            for name, array in (("exact", EXACT), ("rounded", ROUNDED), ("bias", BIAS))
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def answer(model: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {"x": np.array([[1.0, 2.0], [-3.0, 0.7]], np.float32)})[0]
    return result


def test_only_matrices_that_float16_holds_are_halved_and_the_answer_is_bit_for_bit_the_same() -> None:
    model = two_products()
    before = answer(model)
    assert store_half(model) == 1
    onnx.checker.check_model(model, full_check=True)
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert types == {"exact.half": TensorProto.FLOAT16, "rounded": TensorProto.FLOAT, "bias": TensorProto.FLOAT}
    assert np.array_equal(answer(model), before)
