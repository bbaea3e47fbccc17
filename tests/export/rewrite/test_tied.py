"""The head and the token embedding as one matrix."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnxruntime.transformers.onnx_model import OnnxModel

from export.checkpoint import Dimensions
from export.errors import ExportError
from export.rewrite.tied import EMBEDDING, lookup_of, share_tied_embedding
from tests.export.rows import Optimum, random_ids


def embeddings(model: onnx.ModelProto, dimensions: Dimensions) -> list[str]:
    """Return the weights with as many entries as the token embedding."""
    size = dimensions.vocab_size * dimensions.heads * dimensions.head_dim
    return [tensor.name for tensor in model.graph.initializer if np.prod(tensor.dims) == size]


def test_the_embedding_is_stored_once_and_the_logits_stay_bit_for_bit(
    optimum_graph: onnx.ModelProto, dimensions: Dimensions, optimum: Optimum
) -> None:
    (text,) = random_ids(dimensions, 12)
    assert len(embeddings(optimum_graph, dimensions)) == 2
    graph = OnnxModel(optimum_graph)
    share_tied_embedding(graph)
    assert embeddings(graph.model, dimensions) == [EMBEDDING]
    assert np.array_equal(Optimum(graph.model).logits(text), optimum.logits(text))


def test_a_head_of_its_own_is_refused(optimum_graph: onnx.ModelProto) -> None:
    name = optimum_graph.graph.node[-1].input[1]
    head = next(tensor for tensor in optimum_graph.graph.initializer if tensor.name == name)
    values = numpy_helper.to_array(head).copy()
    values[3, 7] += 1e-6
    head.CopyFrom(numpy_helper.from_array(values, name))
    with pytest.raises(ExportError, match="the weights are not tied"):
        share_tied_embedding(OnnxModel(optimum_graph))


def test_a_graph_without_the_embedding_is_refused_by_name(optimum_graph: onnx.ModelProto) -> None:
    kept = [tensor for tensor in optimum_graph.graph.initializer if tensor.name != EMBEDDING]
    del optimum_graph.graph.initializer[:]
    optimum_graph.graph.initializer.extend(kept)
    with pytest.raises(ExportError, match=r"contains no weight transformer\.wte\.weight"):
        share_tied_embedding(OnnxModel(optimum_graph))


def test_two_lookups_are_refused(optimum_graph: onnx.ModelProto) -> None:
    optimum_graph.graph.node.append(helper.make_node("Gather", [EMBEDDING, "input_ids"], ["again"]))
    with pytest.raises(ExportError, match="2 nodes look up tokens, not one"):
        lookup_of(OnnxModel(optimum_graph))
