"""float16: the types in the graph, and its results on the processor."""

import copy

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnxruntime.transformers.onnx_model import OnnxModel

from export.checkpoint import Dimensions
from export.graph import sides
from export.rewrite.half import to_half
from tests.export.rows import Rows, furthest, random_ids


@pytest.fixture(scope="module")
def half(rewritten: onnx.ModelProto) -> onnx.ModelProto:
    return to_half(OnnxModel(copy.deepcopy(rewritten)))


def test_weights_and_caches_are_halves_and_logits_are_not(half: onnx.ModelProto, dimensions: Dimensions) -> None:
    assert TensorProto.FLOAT not in {tensor.data_type for tensor in half.graph.initializer}
    values = {value.name: value.type.tensor_type.elem_type for value in [*half.graph.input, *half.graph.output]}
    halves = {f"{which}.{side}" for which in ("past_key_values", "present") for side in sides(dimensions)}
    assert {name for name, kind in values.items() if kind == TensorProto.FLOAT16} == halves
    assert values["logits"] == TensorProto.FLOAT
    assert values["input_ids"] == TensorProto.INT64


def test_nothing_is_computed_in_float32_before_the_logits(half: onnx.ModelProto) -> None:
    casts = [node for node in half.graph.node if node.op_type == "Cast"]
    to_float = [node for node in casts if helper.get_node_attr_value(node, "to") == TensorProto.FLOAT]
    assert [node.output[0] for node in to_float] == ["logits"]


def test_logits_agree_with_float32_on_the_processor(
    half: onnx.ModelProto, rewritten: onnx.ModelProto, dimensions: Dimensions
) -> None:
    texts = random_ids(dimensions, 60, 33, 47)
    rows, plain = (Rows(model, dimensions, rows=3) for model in (half, rewritten))
    beginnings, ends = [text[:-1] for text in texts], [text[-1:] for text in texts]
    assert 0 < furthest(rows.read(beginnings), plain.read(beginnings)) < 0.02
    assert furthest(rows.read(ends), plain.read(ends)) < 0.02
    assert rows.cache["0.key"].dtype == np.float16
