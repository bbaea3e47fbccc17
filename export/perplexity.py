"""A model's perplexity per token and bits per byte on the held-out documents.

A document is scored after its first genre, or any genre if it has none. The genre and the other words of the template
are read but not counted, nor is the end-of-text token. A space between template and text counts as part of the text,
because byte-level BPE attaches it to the first word. If a document is longer than the context, only the part inside the
context is scored.
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
    """A document's tokens, ready to be scored.

    Attributes:
        ids: the tokens, at most as many as fit the context.
        first: index of the first token to count.
        bytes: number of bytes in the tokens to count.
        cut: True if the document was longer than the context.
    """

    ids: list[int]
    first: int
    bytes: int
    cut: bool


@dataclass(frozen=True)
class Score:
    """The negative log-likelihood, in nats, of `tokens` tokens spelling `bytes` bytes of UTF-8."""

    nats: float
    tokens: int
    bytes: int

    @property
    def perplexity(self) -> float:
        """Perplexity per token."""
        return math.exp(self.nats / self.tokens)

    @property
    def bits_per_byte(self) -> float:
        """Bits per byte, comparable between vocabularies."""
        return self.nats / math.log(2) / self.bytes


def texts_to_score(checkpoint: Checkpoint) -> list[ScoredText]:
    """Return the held-out documents as tokens, each cut to the context.

    In a byte-level BPE, the string of a token has one character for each byte. The lengths of strings therefore count
    bytes, even if a character is split across tokens.

    Raises:
        ExportError: there is nothing to score.
    """
    texts = []
    for document in checkpoint.documents:
        before = len(checkpoint.prompt.join_document(document, "").rstrip().encode())
        encoded = checkpoint.tokenizer.encode(checkpoint.prompt.join_document(document), add_special_tokens=False)
        ends = np.cumsum([len(token) for token in encoded.tokens[: checkpoint.model.context]])
        # The very first token cannot be predicted: nothing comes before it.
        first = max(1, int(np.searchsorted(ends, before, side="right")))
        if first < len(ends):
            counted = int(ends[-1] - ends[first - 1])
            texts.append(ScoredText(encoded.ids[: len(ends)], first, counted, len(ends) < len(encoded.ids)))
    if not texts:
        raise ExportError(f"{checkpoint.folder / 'test.jsonl'}: no document is long enough to be scored.")
    return texts


def score(logits_of: Logits, texts: list[ScoredText], advance: Callable[[int], None] = lambda done: None) -> Score:
    """Score `texts`, in batches of similar length.

    Args:
        advance: called after each batch, with the number of its texts.
    """
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
