"""CTranslate2: its own format and its own loop in C++, at fp32 and with int8 matrices."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpt2_small import Weights
from benchmarks.peers.peer import Prompt, convert_once
from server.cores import cores

COMPUTE_TYPES = {"fp32": "float32", "int8": "int8"}


class CTranslate2:
    """precision: "fp32", or "int8", for which CTranslate2 quantises the weights as it loads them.

    replicas: a batch is split among as many workers as there are cores, which share the weights and have a core each;
    otherwise all cores work on one batch.
    """

    install = "pip install ctranslate2==4.8.5"
    packages: tuple[str, ...] = ("ctranslate2",)
    _model: Any = None
    _tokens: Sequence[str] = ()

    def __init__(self, precision: str, replicas: bool = False) -> None:
        self.name = f"CTranslate2 {precision}{' replicas' if replicas else ''}"
        self.precision, self._replicas = precision, replicas

    def prepare(self, weights: Weights, folder: Path) -> None:
        """Converts into FOLDER/ctranslate2, at fp32 for both. Raises ImportError."""
        import ctranslate2
        from tokenizers import Tokenizer

        converted = convert_once(
            folder / "ctranslate2",
            lambda path: ctranslate2.converters.TransformersConverter(str(weights.hf)).convert(str(path)),
        )
        self._model = ctranslate2.Generator(
            str(converted),
            device="cpu",
            compute_type=COMPUTE_TYPES[self.precision],
            inter_threads=cores() if self._replicas else 1,
            intra_threads=1 if self._replicas else cores(),
        )
        tokenizer = Tokenizer.from_file(str(weights.hf / "tokenizer.json"))
        # Prompts are given as tokens, not ids.
        self._tokens = [tokenizer.id_to_token(token) or "" for token in range(tokenizer.get_vocab_size())]

    def generate(self, prompts: Sequence[Prompt], new_tokens: int) -> list[list[int]]:
        """One batch, or one for each replica, greedy."""
        results = self._model.generate_batch(
            [[self._tokens[token] for token in prompt] for prompt in prompts],
            max_batch_size=-(-len(prompts) // cores()) if self._replicas else 0,
            max_length=new_tokens,
            min_length=new_tokens,  # the end of the text is not chosen before
            beam_size=1,
            sampling_topk=1,
            include_prompt_in_result=False,
        )
        return [result.sequences_ids[0] for result in results]
