"""GPT-2's GELU in one node, `com.microsoft.FastGelu`.

ONNX Runtime's own transformers optimizer finds the nodes it replaces.
"""

from onnxruntime.transformers.fusion_fastgelu import FusionFastGelu
from onnxruntime.transformers.onnx_model import OnnxModel

from export.checkpoint import Dimensions
from export.errors import ExportError
from export.rewrite.nodes import tidy


def fuse_gelu(graph: OnnxModel, model: Dimensions) -> None:
    """Replace the eight nodes of the tanh approximation in each layer with one.

    Raises:
        ExportError: the number of activations found is not the number of layers.
    """
    FusionFastGelu(graph).apply()
    tidy(graph)
    found = len(graph.get_nodes_by_op_type("FastGelu"))
    if found != model.layers:
        raise ExportError(f"{found} activations in {model.layers} layers: Optimum's export has changed its form.")
