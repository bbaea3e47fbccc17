"""Operations on a graph for every pass: constants, weights and cleaning up.

A pass raises ExportError if it does not find the nodes to replace. Optimum's export has then changed its form, and a
half-rewritten graph must not be saved.
"""

from collections.abc import Sequence

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.transformers.onnx_model import OnnxModel

from export.errors import ExportError

MICROSOFT = "com.microsoft"
"""The domain of ONNX Runtime's contributed operators (docs/ContribOperators.md in its repository)."""


def constant(graph: OnnxModel, name: str, value: np.ndarray) -> str:
    """Store `value` as an initializer, unless `name` is stored already, and return `name`."""
    if graph.get_initializer(name) is None:
        graph.add_initializer(numpy_helper.from_array(value, name))
    return name


def add(
    graph: OnnxModel, operator: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: object
) -> str:
    """Add a node with one output of the same name, and return that name."""
    graph.add_node(helper.make_node(operator, inputs, [output], name=output, domain=domain, **attributes))
    return output


def reader_of(graph: OnnxModel, weight: str) -> NodeProto:
    """Return the only node reading the initializer `weight`.

    Raises:
        ExportError: there is no such node, or more than one.
    """
    readers = graph.input_name_to_nodes().get(weight, [])
    if len(readers) != 1:
        raise ExportError(f"{len(readers)} nodes read {weight}, not one: Optimum's export has changed its form.")
    return readers[0]


def writer_of(graph: OnnxModel, name: str, operator: str) -> NodeProto:
    """Return the node writing `name`.

    Raises:
        ExportError: there is no such node, or it is not an `operator`.
    """
    node = graph.output_name_to_node().get(name)
    if node is None or node.op_type != operator:
        found = "nothing" if node is None else node.op_type
        raise ExportError(f"{name} is written by {found}, not by {operator}: Optimum's export has changed its form.")
    return node


def weight_of(graph: OnnxModel, name: str) -> np.ndarray:
    """Return the value of an initializer of any type.

    Raises:
        ExportError: the graph has no such initializer.
    """
    tensor: TensorProto | None = graph.get_initializer(name)
    if tensor is None:
        raise ExportError(f"the graph contains no weight {name}: Optimum's export has changed its form.")
    value: np.ndarray = numpy_helper.to_array(tensor)
    return value


def stored_value(graph: OnnxModel, name: str) -> np.ndarray:
    """Return a weight, even if it is an Identity of an equal one stored under another name."""
    writer = graph.output_name_to_node().get(name)
    return weight_of(graph, name if writer is None else writer.input[0])


def replace_weight(graph: OnnxModel, name: str, value: np.ndarray) -> None:
    """Give the initializer `name` another value, as float32."""
    graph.get_initializer(name).CopyFrom(numpy_helper.from_array(value.astype(np.float32), name))


def tidy(graph: OnnxModel) -> None:
    """Drop nodes and weights that no output needs, and sort the rest in a reproducible order."""
    graph.prune_graph(allow_remove_graph_inputs=True)
    graph.remove_unused_constant()
    graph.topological_sort(is_deterministic=True)
