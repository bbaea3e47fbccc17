"""The peers under transformers' `generate`: TensorFlow, PyTorch eager and compiled, Optimum on ONNX Runtime."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpt2_small import Weights
from benchmarks.peers.contenders import Prompt, convert_once
from server.cores import cores

DTYPES = {"fp32": "float32", "fp16": "float16"}

INSTALL = {
    "cpu": "pip install torch==2.13.0 'transformers>=4.57,<4.58'",
    "cuda": "pip install torch==2.13.0+cu130 'transformers>=4.57,<4.58' "
    "--extra-index-url https://download.pytorch.org/whl/cu130",
}
"""For CUDA the build of version 13, which ONNX Runtime's wants, too."""


@dataclass
class TensorFlowEager:
    """`TFGPT2LMHeadModel.generate` on the checkpoint itself: what the project began with."""

    name: str = "TensorFlow eager"
    precision: str = "fp32"
    install: str = "pip install tensorflow==2.21.0 tf-keras==2.21.0 'transformers>=4.57,<4.58'"
    packages: tuple[str, ...] = ("tensorflow", "transformers")
    _model: Any = None

    def prepare(self, weights: Weights, folder: Path) -> None:
        """Loads the checkpoint; nothing is converted. Raises ImportError."""
        # Read once, when TensorFlow is first imported: transformers needs Keras 2.
        os.environ["TF_USE_LEGACY_KERAS"] = "1"
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import tensorflow
        from transformers import TFGPT2LMHeadModel

        tensorflow.config.threading.set_intra_op_parallelism_threads(cores())
        self._model = never_ending(TFGPT2LMHeadModel.from_pretrained(weights.checkpoint, local_files_only=True))

    def generate(self, prompts: Sequence[Prompt], new_tokens: int) -> list[list[int]]:
        """One batch."""
        import tensorflow

        ids = tensorflow.constant(prompts)
        texts = self._model.generate(ids, attention_mask=tensorflow.ones_like(ids), max_new_tokens=new_tokens)
        new: list[list[int]] = texts.numpy()[:, len(prompts[0]) :].tolist()
        return new


@dataclass
class PyTorchEager:
    """`GPT2LMHeadModel.generate`. Its tokens are what those of the other contenders are compared with.

    precision: "fp32" or "fp16". device: "cpu" or "cuda".
    """

    name: str = "PyTorch eager"
    precision: str = "fp32"
    device: str = "cpu"
    packages: tuple[str, ...] = ("torch", "transformers")
    install: str = ""
    _model: Any = None

    def __post_init__(self) -> None:
        self.install = INSTALL[self.device]

    def prepare(self, weights: Weights, folder: Path) -> None:
        """Loads the weights; nothing is converted. Raises ImportError, also of a PyTorch without its device."""
        import torch

        if self.device == "cuda" and torch.version.cuda is None:
            raise ImportError(f"torch {torch.__version__} was built without CUDA")
        from transformers import GPT2LMHeadModel

        torch.set_num_threads(cores())
        model = GPT2LMHeadModel.from_pretrained(weights.hf, local_files_only=True, dtype=DTYPES[self.precision])
        self._model = never_ending(model.to(self.device).eval())

    def generate(self, prompts: Sequence[Prompt], new_tokens: int) -> list[list[int]]:
        """One batch."""
        import torch

        ids = torch.tensor(prompts, device=self._model.device)
        with torch.inference_mode():
            texts = self._model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=new_tokens)
        new: list[list[int]] = texts[:, len(prompts[0]) :].tolist()
        return new


@dataclass
class PyTorchCompiled(PyTorchEager):
    """`GPT2LMHeadModel.generate` with a static cache, which makes transformers compile the decodes.

    https://huggingface.co/docs/transformers/v4.57.1/llm_optims: "reduce-overhead" on a GPU keeps them as CUDA graphs.
    Prompts are read as without the compiler. Each number of prompts is compiled by itself, in its first turn.
    """

    name: str = "PyTorch torch.compile"

    def prepare(self, weights: Weights, folder: Path) -> None:
        """Loads the weights; what is compiled is compiled with the first prompts. Raises ImportError."""
        super().prepare(weights, folder)
        from transformers import CompileConfig

        # Of shapes that it has not seen PyTorch would make one graph for all, slower than one for each; with more than
        # it keeps, or with what it cannot compile, it raises rather than goes on without.
        config = CompileConfig(fullgraph=True, dynamic=False, mode="reduce-overhead")
        config._compile_all_devices = True  # on a processor, too, where transformers otherwise would not
        self._model.generation_config.cache_implementation = "static"
        self._model.generation_config.compile_config = config


@dataclass
class OptimumOnnx(PyTorchEager):
    """fp32, with a KV cache, on the CPU provider."""

    name: str = "Optimum ONNX Runtime"
    packages: tuple[str, ...] = ("optimum-onnx", "onnxruntime", "onnxruntime-gpu")

    def __post_init__(self) -> None:
        self.install = "pip install optimum-onnx==0.1.0"

    def prepare(self, weights: Weights, folder: Path) -> None:
        """Exports into FOLDER/optimum-onnx. Raises ImportError."""
        import torch
        from onnxruntime import SessionOptions
        from optimum.onnxruntime import ORTModelForCausalLM

        torch.set_num_threads(cores())  # chooses the tokens; the model is ONNX Runtime's
        exported = convert_once(
            folder / "optimum-onnx",
            lambda path: ORTModelForCausalLM.from_pretrained(weights.hf, export=True).save_pretrained(path),
        )
        options = SessionOptions()
        options.intra_op_num_threads = cores()
        how = {"session_options": options, "provider": "CPUExecutionProvider"}
        self._model = never_ending(ORTModelForCausalLM.from_pretrained(exported, **how))


def never_ending(model: Any) -> Any:
    """`model`, of transformers or Optimum, which no token ends any more and which is greedy."""
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0  # nothing is padded, but `generate` warns without one
    model.generation_config.do_sample = False
    return model
