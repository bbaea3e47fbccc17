"""The peers with transformers' `generate`: TensorFlow, PyTorch eager and compiled, Optimum."""

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
"""For CUDA this is the build for version 13, the same as ONNX Runtime's."""


@dataclass
class TensorFlowEager:
    """`TFGPT2LMHeadModel.generate` on the checkpoint itself, like the first Plotify."""

    name: str = "TensorFlow eager"
    precision: str = "fp32"
    install: str = "pip install tensorflow==2.21.0 tf-keras==2.21.0 'transformers>=4.57,<4.58'"
    packages: tuple[str, ...] = ("tensorflow", "transformers")
    _model: Any = None

    def prepare(self, weights: Weights, folder: Path) -> None:
        """Load the checkpoint. There is nothing to convert. Raises ImportError."""
        import export.convert  # noqa: F401  (it sets how TensorFlow and transformers load)

        # isort: split
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
    """`GPT2LMHeadModel.generate`. The other contenders' tokens are compared with its tokens.

    Attributes:
        precision: "fp32" or "fp16".
        device: "cpu" or "cuda".
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
        """Load the weights. There is nothing to convert. Raises ImportError, also if PyTorch has no CUDA."""
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
    """`GPT2LMHeadModel.generate` with a static cache, so transformers compiles the decodes.

    On a GPU "reduce-overhead" keeps them as CUDA graphs; see
    https://huggingface.co/docs/transformers/v4.57.1/llm_optims. Prefill is not compiled. Each number of prompts is
    compiled separately, in its first turn.
    """

    name: str = "PyTorch torch.compile"

    def prepare(self, weights: Weights, folder: Path) -> None:
        """Load the weights. The first prompts compile the model. Raises ImportError."""
        super().prepare(weights, folder)
        from transformers import CompileConfig

        # dynamic=False: one graph for each shape is faster than one for all. fullgraph=True: raise an error instead of
        # running uncompiled, if PyTorch cannot compile the model or has too many graphs.
        config = CompileConfig(fullgraph=True, dynamic=False, mode="reduce-overhead")
        config._compile_all_devices = True  # transformers would not compile on a processor otherwise
        self._model.generation_config.cache_implementation = "static"
        self._model.generation_config.compile_config = config


@dataclass
class OptimumOnnx(PyTorchEager):
    """Optimum's ONNX model in fp32, with a KV cache, on the CPU provider."""

    name: str = "Optimum ONNX Runtime"
    packages: tuple[str, ...] = ("optimum-onnx", "onnxruntime", "onnxruntime-gpu")

    def __post_init__(self) -> None:
        self.install = "pip install optimum-onnx==0.1.0"

    def prepare(self, weights: Weights, folder: Path) -> None:
        """Export to FOLDER/optimum-onnx. Raises ImportError."""
        import torch
        from onnxruntime import SessionOptions
        from optimum.onnxruntime import ORTModelForCausalLM

        torch.set_num_threads(cores())  # PyTorch only chooses the tokens; ONNX Runtime runs the model
        exported = convert_once(
            folder / "optimum-onnx",
            lambda path: ORTModelForCausalLM.from_pretrained(weights.hf, export=True).save_pretrained(path),
        )
        options = SessionOptions()
        options.intra_op_num_threads = cores()
        how = {"session_options": options, "provider": "CPUExecutionProvider"}
        self._model = never_ending(ORTModelForCausalLM.from_pretrained(exported, **how))


def never_ending(model: Any) -> Any:
    """Make a model of transformers or Optimum decode greedily and ignore the end of text, and return it."""
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0  # nothing is padded, but `generate` warns without one
    model.generation_config.do_sample = False
    return model
