"""Only the tokens asked for go through the head."""

import numpy as np
import onnx
import pytest
from onnxruntime.transformers.onnx_model import OnnxModel

from export.checkpoint import Dimensions
from export.errors import ExportError
from export.rewrite.attention import cache_in_place
from export.rewrite.head import gather_before_head
from export.rewrite.tokens import flatten_tokens
from tests.export.rows import random_ids, session_on


def feeds_of(dimensions: Dimensions, ids: np.ndarray) -> dict[str, np.ndarray]:
    """Return the inputs for reading `ids`, int64 [batch, sequence], from an empty cache."""
    batch, length = ids.shape
    empty = np.zeros((batch, dimensions.heads, length, dimensions.head_dim), np.float32)
    return {
        "input_ids": ids,
        "position_ids": np.tile(np.arange(length), (batch, 1)),
        "seqlens_k": np.full(batch, length - 1, np.int32),
        "total_sequence_length": np.array([length], np.int32),
    } | {f"past_key_values.{layer}.{side}": empty for layer in range(2) for side in ("key", "value")}


def test_logits_are_those_of_the_tokens_asked_for_in_their_order(
    optimum_graph: onnx.ModelProto, dimensions: Dimensions
) -> None:
    graph = OnnxModel(optimum_graph)
    flatten_tokens(graph)
    cache_in_place(graph, dimensions)
    feeds = feeds_of(dimensions, np.stack(random_ids(dimensions, 16, 16, 16)))
    (every,) = session_on(graph.model).run(["logits"], feeds)
    assert every.shape == (3, 16, dimensions.vocab_size)
    gather_before_head(graph, dimensions)
    asked = np.array([47, 0, 20, 20])
    (few,) = session_on(graph.model).run(["logits"], feeds | {"last_tokens": asked})
    np.testing.assert_allclose(few, every.reshape(-1, dimensions.vocab_size)[asked], atol=1e-5 * every.std())


def test_norm_and_head_read_no_more_than_that(rewritten: onnx.ModelProto) -> None:
    graph = OnnxModel(rewritten)
    (norm,) = graph.input_name_to_nodes()["transformer.ln_f.weight"]
    assert graph.output_name_to_node()[norm.input[0]].input[1] == "last_tokens"
    assert graph.output_name_to_node()["logits"].input[0] == norm.output[0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("head", "logits is written by Gemm, not by MatMul"),
        ("norm", r"0 nodes read transformer\.ln_f\.weight, not one"),
    ],
)
def test_another_form_is_refused_by_name(
    optimum_graph: onnx.ModelProto, dimensions: Dimensions, wrong: str, message: str
) -> None:
    if wrong == "head":
        optimum_graph.graph.node[-1].op_type = "Gemm"
    else:
        name = "transformer.ln_f.weight"
        next(node for node in optimum_graph.graph.node if name in node.input).input[1] = "another"
    with pytest.raises(ExportError, match=message):
        gather_before_head(OnnxModel(optimum_graph), dimensions)
