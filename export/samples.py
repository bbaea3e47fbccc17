"""Continuations sampled from the checkpoint, for the model card and for choosing decoding defaults."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.checkpoint import Checkpoint
from export.errors import ExportError

if TYPE_CHECKING:
    import torch
    from transformers import GPT2LMHeadModel, LogitsProcessor

NEW_TOKENS = 100
PLAUSIBLE = 0.02
"""The probability a token needs to be let in by guidance, as a share of the likeliest token's.

The server uses the same figure.
"""

OPENINGS = (
    "A detective in Lisbon",
    "When the last train leaves,",
    "Two sisters inherit",
    "In a village above the clouds,",
    "The new teacher",
    "A retired thief",
    "On her wedding day,",
    "Deep below the ice,",
    "Nobody remembers",
    "A boy who cannot dream",
)
"""The beginnings of the card's samples, one for each seed."""


@dataclass(frozen=True)
class Sample:
    """An opening, and the model's continuation under `seed`."""

    seed: int
    genre: str
    opening: str
    continuation: str


@dataclass(frozen=True)
class HeldOut:
    """Held-out documents cut in two: beginnings, int64 [documents, prompt], and continuations."""

    prompts: np.ndarray
    continuations: list[str]


def draw_samples(model: "GPT2LMHeadModel", checkpoint: Checkpoint) -> list[Sample]:
    """Continue each of `OPENINGS` under the checkpoint's sampling parameters.

    Seeds count from 1, and genres take turns.
    """
    genres = checkpoint.prompt.genres or (checkpoint.prompt.any_genre,)
    length = checkpoint.prompt.default_length
    samples = []
    for seed, opening in enumerate(OPENINGS, start=1):
        genre = genres[(seed - 1) % len(genres)]
        prompt, against = (
            np.array([checkpoint.encode(checkpoint.prompt.join(name, opening, length))]) for name in (genre, None)
        )
        (continuation,) = continue_prompts(model, checkpoint, prompt, checkpoint.sampling, seed, against)
        samples.append(Sample(seed, genre, opening, continuation))
    return samples


def cut_held_out(checkpoint: Checkpoint, count: int = 64, prompt_tokens: int = 16, least: int = 16) -> HeldOut:
    """Cut the first `count` held-out documents that are long enough after `prompt_tokens` tokens.

    They have at least `least` tokens more, of which at most `NEW_TOKENS` are kept.

    Raises:
        ExportError: no document is long enough.
    """
    room = min(NEW_TOKENS, checkpoint.model.context - prompt_tokens)
    encoded = (checkpoint.encode(checkpoint.prompt.join_document(document)) for document in checkpoint.documents)
    chosen = [ids for ids in encoded if len(ids) >= prompt_tokens + least][:count]
    if not chosen:
        raise ExportError(
            f"{checkpoint.folder / 'test.jsonl'}: no document has {prompt_tokens + least} tokens or more."
        )
    return HeldOut(
        np.array([ids[:prompt_tokens] for ids in chosen], np.int64),
        [checkpoint.decode(ids[prompt_tokens : prompt_tokens + room]) for ids in chosen],
    )


def continue_prompts(
    model: "GPT2LMHeadModel",
    checkpoint: Checkpoint,
    prompts: np.ndarray,
    sampling: Mapping[str, float],
    seed: int,
    against: np.ndarray | None = None,
) -> list[str]:
    """Sample one continuation, of at most `NEW_TOKENS` tokens, for each of `prompts`.

    The same seed, prompts and sampling parameters give the same texts. Hugging Face's generate does the sampling. Its
    repetition penalty covers the prompt and the continuation.

    Args:
        prompts: int64 [batch, sequence].
        against: int64 [1, sequence], the single prompt without its genre. It guides the continuation as in the server.
    """
    import torch

    torch.manual_seed(seed)
    end_of_text = checkpoint.model.end_of_text
    ids = torch.from_numpy(prompts)
    choosing = {
        "do_sample": True,
        "temperature": float(sampling["temperature"]),
        "top_k": int(sampling["top_k"]),
        "top_p": float(sampling["top_p"]),
    }
    guides = []
    if against is not None:
        guides = [guided(model, torch.from_numpy(against), float(sampling["guidance"]))]
    with torch.inference_mode():
        generated = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=min(NEW_TOKENS, checkpoint.model.context - prompts.shape[1]),
            eos_token_id=end_of_text,
            pad_token_id=end_of_text,
            repetition_penalty=float(sampling["repetition_penalty"]),
            logits_processor=guides,
            **(choosing if sampling["temperature"] > 0 else {"do_sample": False}),
        )
    return [checkpoint.decode(row.tolist()) for row in generated[:, prompts.shape[1] :]]


def guided(model: "GPT2LMHeadModel", against: "torch.Tensor", strength: float) -> "LogitsProcessor":
    """Return a processor for classifier-free guidance as in the server.

    It is Hugging Face's, but excludes tokens that were implausible before guidance.
    """
    import torch
    from transformers import UnbatchedClassifierFreeGuidanceLogitsProcessor as FreeGuidance

    class PlausiblyGuided(FreeGuidance):  # type: ignore[misc]
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            own = scores.log_softmax(dim=-1)
            implausible = own < own.max(dim=-1, keepdim=True).values + math.log(PLAUSIBLE)
            merged: torch.Tensor = super().__call__(input_ids, scores)
            return merged.masked_fill(implausible, -torch.inf)

    return PlausiblyGuided(strength, model, unconditional_ids=against)
