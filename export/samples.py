"""Continuations drawn from the checkpoint, for the model card and for choosing decoding defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.checkpoint import Checkpoint
from export.errors import ExportError

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

NEW_TOKENS = 100
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
"""What the card's samples begin with, one for each seed."""


@dataclass(frozen=True)
class Sample:
    """An opening and what the model made of it under `seed`."""

    seed: int
    genre: str
    opening: str
    continuation: str


@dataclass(frozen=True)
class HeldOut:
    """Held-out documents cut in two: beginnings, int64 [documents, prompt], and how they went on."""

    prompts: np.ndarray
    continuations: list[str]


def draw_samples(model: "GPT2LMHeadModel", checkpoint: Checkpoint) -> list[Sample]:
    """A continuation of each of `OPENINGS`, seeds from 1 up, genres by turns, under the checkpoint's sampling."""
    genres = checkpoint.prompt.genres or (checkpoint.prompt.any_genre,)
    samples = []
    for seed, opening in enumerate(OPENINGS, start=1):
        genre = genres[(seed - 1) % len(genres)]
        prompt = np.array([checkpoint.encode(checkpoint.prompt.join(genre, opening))])
        (continuation,) = continue_prompts(model, checkpoint, prompt, checkpoint.sampling, seed)
        samples.append(Sample(seed, genre, opening, continuation))
    return samples


def cut_held_out(checkpoint: Checkpoint, count: int = 64, prompt_tokens: int = 16, least: int = 16) -> HeldOut:
    """The first `count` held-out documents with `least` tokens or more after `prompt_tokens`, and at most `NEW_TOKENS`.

    Raises ExportError when there is none.
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
    model: "GPT2LMHeadModel", checkpoint: Checkpoint, prompts: np.ndarray, sampling: Mapping[str, float], seed: int
) -> list[str]:
    """One continuation, of at most `NEW_TOKENS` tokens, of each of `prompts`, int64 [batch, sequence].

    The same seed, prompts and sampling give the same texts. Sampled by Hugging Face's generate, whose repetition
    penalty looks at the prompt and the continuation.
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
    with torch.inference_mode():
        generated = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=min(NEW_TOKENS, checkpoint.model.context - prompts.shape[1]),
            eos_token_id=end_of_text,
            pad_token_id=end_of_text,
            repetition_penalty=float(sampling["repetition_penalty"]),
            **(choosing if sampling["temperature"] > 0 else {"do_sample": False}),
        )
    return [checkpoint.decode(row.tolist()) for row in generated[:, prompts.shape[1] :]]
