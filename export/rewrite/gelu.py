"""GPT-2's GELU in one node: `com.microsoft.FastGelu`, found by ONNX Runtime's own transformers optimizer."""

from onnxruntime.transformers.fusion_fastgelu import FusionFastGelu
from onnxruntime.transformers.onnx_model import OnnxModel

from export.checkpoint import Dimensions
from export.errors import ExportError
from export.rewrite.nodes import tidy


def fuse_gelu(graph: OnnxModel, model: Dimensions) -> None:
    """Replaces each layer's eight nodes of the tanh approximation. Raises ExportError unless it finds one a layer."""
    FusionFastGelu(graph).apply()
    tidy(graph)
    found = len(graph.get_nodes_by_op_type("FastGelu"))
    if found != model.layers:
        raise ExportError(f"{found} activations in {model.layers} layers: Optimum's export has changed its form.")
