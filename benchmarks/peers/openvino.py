"""OpenVINO by its own server for many requests: OpenVINO GenAI's continuous batching, on what Optimum Intel exports."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpt2_small import Weights
from benchmarks.peers.peer import Prompt, convert_once
from server.cores import cores

HINTS: dict[str, dict[str, str]] = {
    "fp32": {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"},
    "int8": {},
    "int8 in f32": {"INFERENCE_PRECISION_HINT": "f32"},
}
"""By itself OpenVINO computes in bfloat16 where the processor can, and keeps the cache in 8 bits: not fp32 any more.
Where the processor can, int8 weights are nevertheless faster with f32 for few requests at once."""

BATCHED_TOKENS = 4096
"""Tokens of one step at most: all the prompts that arrive together. With OpenVINO's own 256 it is slower at 64."""


class OpenVino:
    """hints: "fp32"; "int8" for int8 weights and OpenVINO's own choice of everything else; "int8 in f32" for int8
    weights whose products are computed in float32."""

    install = "pip install openvino-genai==2026.4.1.0 optimum-intel==1.27.0 nncf==3.4.0"
    packages: tuple[str, ...] = ("openvino", "openvino-genai", "optimum-intel", "nncf")
    _pipeline: Any = None

    def __init__(self, hints: str) -> None:
        self.name, self.precision, self._hints = f"OpenVINO {hints}", hints.split()[0], HINTS[hints]

    def prepare(self, weights: Weights, folder: Path) -> None:
        """Exports into FOLDER/openvino-fp32 or openvino-int8. Raises ImportError."""
        import openvino_genai
        from optimum.intel import OVModelForCausalLM

        def export(path: Path) -> None:
            compressed = self.precision == "int8"
            model = OVModelForCausalLM.from_pretrained(weights.hf, export=True, load_in_8bit=compressed, compile=False)
            model.save_pretrained(path)
            _write_tokenizer(weights.hf, path)

        exported = convert_once(folder / f"openvino-{self.precision}", export)
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.max_num_batched_tokens = BATCHED_TOKENS
        scheduler.enable_prefix_caching = False  # no two prompts have a beginning in common
        config = {"INFERENCE_NUM_THREADS": cores(), **self._hints}
        self._pipeline = openvino_genai.ContinuousBatchingPipeline(exported, scheduler, "CPU", config)

    def generate(self, prompts: Sequence[Prompt], new_tokens: int) -> list[list[int]]:
        """A request for each prompt, all submitted together."""
        import numpy as np
        import openvino_genai
        from openvino import Tensor

        settings = openvino_genai.GenerationConfig()
        settings.max_new_tokens = new_tokens
        settings.ignore_eos = True
        settings.do_sample = False
        requests = [Tensor(np.array([prompt], dtype=np.int64)) for prompt in prompts]
        results = self._pipeline.generate(requests, [settings] * len(requests))
        return [list(result.m_generation_ids[0]) for result in results]


def _write_tokenizer(hf: Path, folder: Path) -> None:
    """The pipeline opens with one only, although it gets and gives token ids here."""
    from openvino import save_model
    from openvino_tokenizers import convert_tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(hf / "tokenizer.json"))
    encoder, decoder = convert_tokenizer(tokenizer, with_detokenizer=True)
    save_model(encoder, folder / "openvino_tokenizer.xml")
    save_model(decoder, folder / "openvino_detokenizer.xml")
