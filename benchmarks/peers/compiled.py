"""PyTorch's compiler under `generate`: a cache of fixed size, and each decode one compiled graph."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpt2_small import Weights
from benchmarks.peers.eager import PyTorchEager


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
