"""Optimum's `ORTModelForCausalLM`: its own export of the weights, run by ONNX Runtime under `generate`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpt2_small import Weights
from benchmarks.peers.eager import generate_with_torch, never_ending
from benchmarks.peers.peer import Prompt, convert_once
from server.cores import cores


@dataclass
class OptimumOnnx:
    """fp32, with a KV cache, on the CPU provider."""

    name: str = "Optimum ONNX Runtime"
    precision: str = "fp32"
    install: str = "pip install optimum-onnx==0.1.0"
    packages: tuple[str, ...] = ("optimum-onnx", "onnxruntime", "onnxruntime-gpu")
    _model: Any = None

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
        self._model = never_ending(
            ORTModelForCausalLM.from_pretrained(exported, session_options=options, provider="CPUExecutionProvider")
        )

    def generate(self, prompts: Sequence[Prompt], new_tokens: int) -> list[list[int]]:
        """One batch."""
        return generate_with_torch(self._model, prompts, new_tokens)
