"""Attention with a cache written in place, compared with Optimum's own graph."""

import numpy as np
import onnx
import pytest
from onnxruntime.transformers.onnx_model import OnnxModel

from export.checkpoint import Dimensions
from export.errors import ExportError
from export.rewrite.attention import cache_in_place
from export.rewrite.tokens import flatten_tokens
from tests.export.rows import Optimum, Rows, furthest, random_ids

CLOSE = 1e-5
"""Tolerance, in standard deviations of the logits."""


@pytest.fixture
def in_place(optimum_graph: onnx.ModelProto, dimensions: Dimensions) -> onnx.ModelProto:
    """Optimum's graph after this pass and the one before it."""
    graph = OnnxModel(optimum_graph)
    flatten_tokens(graph)
    cache_in_place(graph, dimensions)
    return graph.model


def test_a_ragged_batch_is_read_as_each_text_alone(
    in_place: onnx.ModelProto, dimensions: Dimensions, optimum: Optimum
) -> None:
    texts = random_ids(dimensions, 5, 31, 1, 16, 17)
    found = Rows(in_place, dimensions, rows=len(texts)).read(texts)
    assert furthest(found, [optimum.logits(text) for text in texts]) < CLOSE


def test_a_ragged_batch_goes_on_token_by_token_in_the_same_memory(
    in_place: onnx.ModelProto, dimensions: Dimensions, optimum: Optimum
) -> None:
    texts = random_ids(dimensions, 25, 41, 21, 36)
    rows = Rows(in_place, dimensions, rows=len(texts))
    rows.read([text[:-20] for text in texts])
    steps = [rows.read([text[len(text) - left :][:1] for text in texts]) for left in range(20, 0, -1)]
    found = [np.concatenate([step[row] for step in steps]) for row in range(len(texts))]
    assert furthest(found, [optimum.logits(text)[-20:] for text in texts]) < CLOSE
    assert rows.lengths.tolist() == [25, 41, 21, 36]


def test_a_chunk_behind_a_cache_is_read_as_the_whole_text(
    in_place: onnx.ModelProto, dimensions: Dimensions, optimum: Optimum
) -> None:
    (text,) = random_ids(dimensions, 48)
    rows = Rows(in_place, dimensions, rows=1)
    found = np.concatenate([rows.read([text[start : start + 16]])[0] for start in range(0, 48, 16)])
    assert furthest([found], [optimum.logits(text)]) < CLOSE


def test_the_cache_fills_from_the_front_and_nothing_else_is_written(
    in_place: onnx.ModelProto, dimensions: Dimensions
) -> None:
    rows = Rows(in_place, dimensions, rows=1, capacity=32)
    rows.read(random_ids(dimensions, 11))
    for values in rows.cache.values():
        assert np.isfinite(values[:, :, :11]).all()
        assert np.isnan(values[:, :, 11:]).all()


def test_rows_do_not_depend_on_one_another_bit_by_bit(in_place: onnx.ModelProto, dimensions: Dimensions) -> None:
    texts = random_ids(dimensions, 9, 30, 4, 21, 9, 2, 17, 40)
    together = Rows(in_place, dimensions, rows=len(texts))
    read = together.read([text[:-1] for text in texts])
    stepped = together.read([text[-1:] for text in texts])
    for row, text in enumerate(texts):
        alone = Rows(in_place, dimensions, rows=1)
        assert np.array_equal(alone.read([text[:-1]])[0], read[row])
        assert np.array_equal(alone.read([text[-1:]])[0], stepped[row])


def test_optimums_attention_and_its_mask_are_gone(in_place: onnx.ModelProto, dimensions: Dimensions) -> None:
    operators = [node.op_type for node in in_place.graph.node]
    assert operators.count("GroupQueryAttention") == dimensions.layers
    assert not {"Softmax", "Where", "Split", "Range"} & set(operators)
    assert "attention_mask" not in {value.name for value in in_place.graph.input}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("present", r"present\.1\.key is written by Sum, not by Concat"),
        ("weight", r"0 nodes read transformer\.h\.1\.attn\.c_proj\.weight, not one"),
    ],
)
def test_another_form_is_refused_by_name(
    optimum_graph: onnx.ModelProto, dimensions: Dimensions, wrong: str, message: str
) -> None:
    if wrong == "present":
        next(node for node in optimum_graph.graph.node if "present.1.key" in node.output).op_type = "Sum"
    else:
        name = "transformer.h.1.attn.c_proj.weight"
        next(node for node in optimum_graph.graph.node if name in node.input).input[1] = "another"
        next(tensor for tensor in optimum_graph.graph.initializer if tensor.name == name).name = "another"
    graph = OnnxModel(optimum_graph)
    flatten_tokens(graph)
    with pytest.raises(ExportError, match=message):
        cache_in_place(graph, dimensions)
