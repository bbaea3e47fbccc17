"""What every pass needs of a graph: its constants, its weights, and a clean end.

A pass that does not find what it is to replace raises ExportError: Optimum's export has then changed its form, and a
graph that is rewritten by half must not be written.
"""

from collections.abc import Sequence

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.transformers.onnx_model import OnnxModel

from export.errors import ExportError

MICROSOFT = "com.microsoft"
"""The domain of ONNX Runtime's contributed operators (docs/ContribOperators.md in its repository)."""


def constant(graph: OnnxModel, name: str, value: np.ndarray) -> str:
    """Stores `value` as an initializer, unless `name` is stored already; the name."""
    if graph.get_initializer(name) is None:
        graph.add_initializer(numpy_helper.from_array(value, name))
    return name


def add(
    graph: OnnxModel, operator: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: object
) -> str:
    """Adds a node with one output, named like it; the output."""
    graph.add_node(helper.make_node(operator, inputs, [output], name=output, domain=domain, **attributes))
    return output


def reader_of(graph: OnnxModel, weight: str) -> NodeProto:
    """The one node that reads the initializer `weight`. Raises ExportError where there is none, or more."""
    readers = graph.input_name_to_nodes().get(weight, [])
    if len(readers) != 1:
        raise ExportError(f"{len(readers)} nodes read {weight}, not one: Optimum's export has changed its form.")
    return readers[0]


def writer_of(graph: OnnxModel, name: str, operator: str) -> NodeProto:
    """The node that writes `name`, which must be an `operator`. Raises ExportError."""
    node = graph.output_name_to_node().get(name)
    if node is None or node.op_type != operator:
        found = "nothing" if node is None else node.op_type
        raise ExportError(f"{name} is written by {found}, not by {operator}: Optimum's export has changed its form.")
    return node


def weight_of(graph: OnnxModel, name: str) -> np.ndarray:
    """The value of an initializer, whatever its type. Raises ExportError where there is none."""
    tensor: TensorProto | None = graph.get_initializer(name)
    if tensor is None:
        raise ExportError(f"the graph holds no weight {name}: Optimum's export has changed its form.")
    value: np.ndarray = numpy_helper.to_array(tensor)
    return value


def stored_value(graph: OnnxModel, name: str) -> np.ndarray:
    """A weight that may be stored under the name of an equal one, behind an Identity."""
    writer = graph.output_name_to_node().get(name)
    return weight_of(graph, name if writer is None else writer.input[0])


def replace_weight(graph: OnnxModel, name: str, value: np.ndarray) -> None:
    """Gives the initializer `name` another value, as float32."""
    graph.get_initializer(name).CopyFrom(numpy_helper.from_array(value.astype(np.float32), name))


def tidy(graph: OnnxModel) -> None:
    """Drops the nodes and weights that no output needs, and sorts the rest, the same way every time."""
    graph.prune_graph(allow_remove_graph_inputs=True)
    graph.remove_unused_constant()
    graph.topological_sort(is_deterministic=True)
