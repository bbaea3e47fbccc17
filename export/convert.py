"""Converting the TensorFlow weights to an ONNX file, by way of PyTorch and Optimum.

`GPT2LMHeadModel.from_pretrained(..., from_tf=True)` is not used: in transformers 4.57 it silently leaves weights unset.
No step here is trusted. At the end, `export.parity` compares the file with the original model.
"""

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Read when TensorFlow is first imported. transformers needs Keras 2, and the log is for developers of TensorFlow.
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Optimum imports diffusers if it is there, which takes optimum-onnx for a second Optimum.
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")

import numpy as np

from export.checkpoint import Checkpoint
from export.errors import ExportError
from silence import silent

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

# PyTorch loads Triton, a compiler for GPUs, if it is there, and Triton crashes if it is loaded after TensorFlow
# (https://github.com/tensorflow/tensorflow/issues/124205). None makes Python say that the module is missing.
sys.modules.setdefault("triton", None)  # type: ignore[arg-type]

TASK = "text-generation-with-past"


def load_tensorflow(checkpoint: Checkpoint) -> Any:
    """Load the checkpoint's TFGPT2LMHeadModel, with every weight from the file.

    Raises:
        ExportError: tf_model.h5 is damaged or lacks weights.
    """
    with silent():
        import tensorflow  # noqa: F401  (without it, transformers only gives a stand-in class)
    from transformers import TFGPT2LMHeadModel, logging

    logging.set_verbosity_error()
    file = checkpoint.folder / "tf_model.h5"
    try:
        model, info = TFGPT2LMHeadModel.from_pretrained(
            checkpoint.folder, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError) as wrong:
        raise ExportError(f"{file}: cannot be read as TFGPT2LMHeadModel weights: {wrong}") from wrong
    absent = [*info["missing_keys"], *info["mismatched_keys"]]
    if absent:
        raise ExportError(f"{file}: lacks weights listed in config.json: {', '.join(map(str, absent))}.")
    return model


def tensorflow_logits(model: Any, ids: np.ndarray) -> np.ndarray:
    """Return the logits of `ids`, int64 [batch, sequence], computed without a cache.

    The logits are float32 [batch, sequence, vocab].
    """
    import tensorflow

    # On a GPU, TensorFlow would round the inputs of products to ten bits, too coarse for a comparison.
    tensorflow.config.experimental.enable_tensor_float_32_execution(False)
    logits: np.ndarray = model(tensorflow.constant(ids), use_cache=False, training=False).logits.numpy()
    return logits


def to_torch(model: Any) -> "GPT2LMHeadModel":
    """Return the same model in PyTorch, in evaluation mode, with its head tied to its embedding."""
    from transformers import GPT2LMHeadModel
    from transformers.modeling_tf_pytorch_utils import load_tf2_model_in_pytorch_model

    twin = GPT2LMHeadModel(model.config)
    load_tf2_model_in_pytorch_model(twin, model)
    twin.tie_weights()
    twin.eval()
    return twin


def to_onnx(model: "GPT2LMHeadModel", folder: Path) -> Path:
    """Export `model` with Optimum, for `TASK`, into `folder`, and return the path of the ONNX file."""
    from optimum.exporters.onnx import onnx_export_from_model
    from optimum.utils import logging

    logging.set_verbosity_error()
    with warnings.catch_warnings():
        # Tracing warns about branches taken at export time; the parity check covers their effect on the result.
        warnings.simplefilter("ignore")
        onnx_export_from_model(model, folder, task=TASK, do_validation=False)
    return folder / "model.onnx"
