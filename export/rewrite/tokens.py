"""Flattening the tokens into one row: the network then computes on [batch × sequence, width].

Its products do so anyway. Optimum's graph reshapes around each product, from [batch, sequence, width] to two axes and
back. With the tokens flattened once, right after the inputs, all these reshapes go.
"""

import numpy as np
from onnxruntime.transformers.onnx_model import OnnxModel

from export.errors import ExportError
from export.rewrite.nodes import add, constant, reader_of, tidy, writer_of


def flatten_tokens(graph: OnnxModel) -> None:
    """Flatten `input_ids` and `position_ids` before the embeddings, and remove the products' reshapes.

    Raises:
        ExportError: the embeddings or products are not those of a GPT-2.
    """
    row = constant(graph, "one_row", np.array([-1], np.int64))
    for ids, embedding in (("input_ids", "transformer.wte.weight"), ("position_ids", "transformer.wpe.weight")):
        reader_of(graph, embedding).input[1] = add(graph, "Reshape", [ids, row], f"{ids}.flat")
    products = graph.get_nodes_by_op_type("Gemm")
    if not products:
        raise ExportError("the graph contains no Gemm: Optimum's export has changed its form.")
    for product in products:
        before = writer_of(graph, product.input[0], "Reshape")
        behind = graph.get_children(product)
        if [node.op_type for node in behind] != ["Reshape"]:
            raise ExportError(f"{product.name} is not followed by one Reshape: Optimum's export has changed its form.")
        product.input[0] = before.input[0]
        graph.replace_input_of_all_nodes(behind[0].output[0], product.output[0])
    tidy(graph)
