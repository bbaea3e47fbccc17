"""How well a model foretells the held-out documents: perplexity per token and bits per byte.

A document is scored behind its first genre, or any genre where it has none. The genre and what else the template puts
before the text are read but not counted, nor is the end-of-text token. A space between them counts as the text's, as
the byte-level BPE glues it to the first word. Of a document longer than the context only what fits is scored.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from export.checkpoint import Checkpoint
from export.errors import ExportError
from export.parity import Logits

BATCH_TOKENS = 4096


@dataclass(frozen=True)
class ScoredText:
    """A document's tokens, the index of the first that counts, the bytes of those that do, and whether it was cut."""

    ids: list[int]
    first: int
    bytes: int
    cut: bool


@dataclass(frozen=True)
class Score:
    """Negative log-likelihood, in nats, of `tokens` tokens that spell `bytes` bytes of UTF-8."""

    nats: float
    tokens: int
    bytes: int

    @property
    def perplexity(self) -> float:
        """Per token."""
        return math.exp(self.nats / self.tokens)

    @property
    def bits_per_byte(self) -> float:
        """Comparable between vocabularies."""
        return self.nats / math.log(2) / self.bytes


def texts_to_score(checkpoint: Checkpoint) -> list[ScoredText]:
    """The held-out documents as tokens, each cut to the context.

    In a byte-level BPE a token's string has one character for each byte, so lengths of strings count bytes, also where
    a character is split across tokens. Raises ExportError when there is nothing to score.
    """
    texts = []
    for document in checkpoint.documents:
        before = len(checkpoint.prompt.join_document(document, "").rstrip().encode())
        encoded = checkpoint.tokenizer.encode(checkpoint.prompt.join_document(document), add_special_tokens=False)
        ends = np.cumsum([len(token) for token in encoded.tokens[: checkpoint.model.context]])
        # The very first token of all has nothing before it that could foretell it.
        first = max(1, int(np.searchsorted(ends, before, side="right")))
        if first < len(ends):
            counted = int(ends[-1] - ends[first - 1])
            texts.append(ScoredText(encoded.ids[: len(ends)], first, counted, len(ends) < len(encoded.ids)))
    if not texts:
        raise ExportError(f"{checkpoint.folder / 'test.jsonl'}: no document is long enough to be scored.")
    return texts


def score(logits_of: Logits, texts: list[ScoredText], advance: Callable[[int], None] = lambda done: None) -> Score:
    """Scores `texts`, batched with others of their length; calls `advance` with the number of texts just done."""
    nats = 0.0
    pending = sorted(texts, key=lambda text: len(text.ids))
    while pending:
        rows = max(1, BATCH_TOKENS // len(pending[-1].ids))
        batch, pending = pending[-rows:], pending[:-rows]
        ids = np.zeros((len(batch), len(batch[-1].ids)), np.int64)
        for row, text in zip(ids, batch, strict=True):
            row[: len(text.ids)] = text.ids
        for logits, text in zip(logits_of(ids), batch, strict=True):
            nats += _negative_log_likelihood(logits, text)
        advance(len(batch))
    return Score(nats, sum(len(text.ids) - text.first for text in texts), sum(text.bytes for text in texts))


def _negative_log_likelihood(logits: np.ndarray, text: ScoredText) -> float:
    rows = logits[text.first - 1 : len(text.ids) - 1]
    highest = rows.max(axis=-1, keepdims=True)
    normalisers = np.log(np.exp(rows - highest).sum(axis=-1, dtype=np.float64)) + highest[:, 0]
    chosen = rows[np.arange(len(rows)), text.ids[text.first :]]
    return float((normalisers - chosen).sum())
