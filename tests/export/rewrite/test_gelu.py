"""GPT-2's GELU in one node."""

import onnx
import pytest
from onnxruntime.transformers.onnx_model import OnnxModel

from export.checkpoint import Dimensions
from export.errors import ExportError
from export.rewrite.gelu import fuse_gelu
from tests.export.rows import Optimum, furthest, random_ids


def test_every_layers_activation_becomes_one_node_and_the_logits_stay(
    optimum_graph: onnx.ModelProto, dimensions: Dimensions, optimum: Optimum
) -> None:
    (text,) = random_ids(dimensions, 40)
    graph = OnnxModel(optimum_graph)
    assert len(graph.get_nodes_by_op_type("Tanh")) == dimensions.layers
    fuse_gelu(graph, dimensions)
    assert len(graph.get_nodes_by_op_type("FastGelu")) == dimensions.layers
    assert not graph.get_nodes_by_op_type("Tanh")
    assert furthest([Optimum(graph.model).logits(text)], [optimum.logits(text)]) < 1e-5


def test_another_activation_is_refused(optimum_graph: onnx.ModelProto, dimensions: Dimensions) -> None:
    next(node for node in optimum_graph.graph.node if node.op_type == "Tanh").op_type = "Erf"
    with pytest.raises(ExportError, match="1 activations in 2 layers: Optimum's export has changed its form"):
        fuse_gelu(OnnxModel(optimum_graph), dimensions)
