"""Running the language-model head only for the tokens whose logits are needed."""

from onnx import TensorProto, helper
from onnxruntime.transformers.onnx_model import OnnxModel

from export.checkpoint import Dimensions
from export.rewrite.nodes import add, reader_of, tidy, writer_of


def gather_before_head(graph: OnnxModel, model: Dimensions) -> None:
    """Select the tokens at `last_tokens`, int64 [rows], before the last layer norm.

    The graph must have flat tokens. `last_tokens` counts through batch × sequence, and `logits` becomes float32 [rows,
    vocab].

    Raises:
        ExportError: the graph is not Optimum's GPT-2.
    """
    head = writer_of(graph, "logits", "MatMul")
    norm = reader_of(graph, "transformer.ln_f.weight")
    gathered = add(graph, "Gather", [norm.input[0], "last_tokens"], "transformer.last", axis=0)
    norm.input[0] = gathered
    head.input[0] = norm.output[0]
    graph.graph().input.append(helper.make_tensor_value_info("last_tokens", TensorProto.INT64, ["rows"]))
    logits = next(value for value in graph.graph().output if value.name == "logits")
    logits.CopyFrom(helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", model.vocab_size]))
    tidy(graph)
