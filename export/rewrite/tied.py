"""Storing the language-model head and the token embedding as one matrix."""

import numpy as np
from onnx import NodeProto
from onnxruntime.transformers.onnx_model import OnnxModel

from export.errors import ExportError
from export.rewrite.nodes import add, tidy, weight_of, writer_of

EMBEDDING = "transformer.wte.weight"
"""The token embedding, [vocab, width]."""


def share_tied_embedding(graph: OnnxModel) -> None:
    """Replace the head's copy of the token embedding with a Transpose of the embedding itself.

    The exporter folds this transpose into a second [width, vocab] matrix. ONNX Runtime folds it too when it loads the
    graph, so sharing costs nothing there and nearly halves the file of a small model.

    Raises:
        ExportError: the head is not the transposed embedding.
    """
    head = writer_of(graph, "logits", "MatMul")
    if not np.array_equal(weight_of(graph, head.input[1]), weight_of(graph, EMBEDDING).T):
        raise ExportError("the graph's head is not its token embedding transposed: the weights are not tied.")
    head.input[1] = add(graph, "Transpose", [EMBEDDING], "lm_head.weight", perm=[1, 0])
    tidy(graph)


def lookup_of(graph: OnnxModel) -> NodeProto:
    """Return the Gather that looks up tokens in the embedding.

    Raises:
        ExportError: there is no such node, or more than one.
    """
    lookups = [node for node in graph.input_name_to_nodes().get(EMBEDDING, []) if node.op_type == "Gather"]
    if len(lookups) != 1:
        raise ExportError(f"{len(lookups)} nodes look up tokens, not one: Optimum's export has changed its form.")
    return lookups[0]
