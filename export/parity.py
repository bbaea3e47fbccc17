"""Comparing the graph with the checkpoint: greedy continuations through the KV cache, and logits.

The graph decodes as the engine will: the prompt first, then one token at a time through the cache. The checkpoint, in
TensorFlow, then reads each prompt with the graph's continuation in one forward pass. Attention is causal, so the
checkpoint's logits at a position are those of its own step-by-step decoding, provided that all earlier tokens are its
own too. By induction, if its highest logit at every position is the graph's next token, then its greedy decoding from
the prompt chooses the same tokens throughout. Where the checkpoint has a tie between its highest logit and the graph's
token, either token is right, and the comparison goes on behind the graph's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from export.checkpoint import Checkpoint
from export.errors import ExportError
from export.graph import Graph

PROMPTS, NEW_TOKENS = 200, 64
TOLERANCE = 1e-3
"""Largest difference allowed between the logits of the graph and of the checkpoint."""

TIE = 1e-4
"""Two logits are a tie if they are closer than this.

The graph and the checkpoint add the same products in other orders. In float32, their logits differ by up to 3e-5, so
the order of two logits may differ if they are twice as close. Among the thousands of tokens compared, some are.
"""

REFERENCE_BATCH = 10

Logits = Callable[[np.ndarray], np.ndarray]
"""A function from token ids, int64 [batch, sequence], to logits, without a cache.

The logits are float32 [batch, sequence, vocab].
"""


@dataclass(frozen=True)
class Parity:
    """The number of prompts and tokens compared, and the largest difference found.

    ties: number of tokens that differ from the checkpoint's because of a tie.
    """

    prompts: int
    tokens: int
    max_logit_difference: float
    ties: int


@dataclass(frozen=True)
class Continuation:
    """A prompt with its continuation by the graph.

    Attributes:
        prompt: int64 [prompt].
        new: the tokens chosen by the graph, int64 [new].
        logits: the graph's logits, float32 [prompt + new - 1, vocab].
    """

    prompt: np.ndarray
    new: np.ndarray
    logits: np.ndarray

    @property
    def read(self) -> np.ndarray:
        """The tokens read by the graph, int64 [prompt + new - 1]: all but the last one it chose."""
        return np.concatenate([self.prompt, self.new[:-1]])


def choose_prompts(checkpoint: Checkpoint, count: int = PROMPTS) -> list[str]:
    """Return prompts from the beginnings of `count` held-out documents, spread over the test split.

    The documents are evenly spread. A beginning has 2 to 21 words and is put into the template. If there are fewer
    documents, all are taken.
    """
    documents = checkpoint.documents
    count = min(count, len(documents))
    chosen = [documents[index * len(documents) // count] for index in range(count)]
    return [
        checkpoint.prompt.join_document(document, " ".join(document.text.split()[: 2 + index % 20]))
        for index, document in enumerate(chosen)
    ]


def decode_greedily(graph: Graph, prompt: np.ndarray, new_tokens: int, end_of_text: int) -> Continuation:
    """Continue `prompt`, int64 [prompt], by the highest logit, through the cache.

    The continuation ends at `end_of_text` or after `new_tokens` tokens.
    """
    logits = graph.logits(prompt[None], room=new_tokens)
    rows, new = [logits[0]], [int(logits[0, -1].argmax())]
    while len(new) < new_tokens and new[-1] != end_of_text:
        logits = graph.step(np.array([new[-1:]]))
        rows.append(logits[0])
        new.append(int(logits[0, -1].argmax()))
    return Continuation(prompt, np.array(new), np.concatenate(rows))


def verify(graph: Graph, reference: Logits, checkpoint: Checkpoint) -> Parity:
    """Compare greedy continuations and all logits of `graph` with `reference`, the checkpoint itself.

    Raises:
        ExportError: a token differs without a tie, or a logit differs by more than `TOLERANCE`.
    """
    prompts, tokens, largest, ties = 0, 0, 0.0, 0
    for text, each, logits in _side_by_side(graph, reference, checkpoint):
        ties += _count_ties(checkpoint, text, each, logits)
        prompts, tokens = prompts + 1, tokens + len(each.new)
        # maximum() keeps a NaN, and the comparison below refuses it.
        largest = float(np.maximum(largest, np.abs(logits - each.logits).max()))
    if not largest <= TOLERANCE:
        raise ExportError(
            f"the graph's logits differ from the checkpoint's by up to {largest:.3g}, over {TOLERANCE:g}: "
            "the conversion has changed the model, so nothing was written."
        )
    return Parity(prompts, tokens, largest, ties)


def _side_by_side(
    graph: Graph, reference: Logits, checkpoint: Checkpoint
) -> Iterator[tuple[str, Continuation, np.ndarray]]:
    """Yield each prompt, its continuation by `graph`, and the logits of `reference` for both.

    The logits are float32 [prompt + new - 1, vocab].
    """
    texts = choose_prompts(checkpoint)
    new_tokens = min(NEW_TOKENS, checkpoint.model.context // 2)
    room = checkpoint.model.context - new_tokens
    prompts = [np.array(checkpoint.encode(text)[:room], np.int64) for text in texts]
    continuations = [decode_greedily(graph, prompt, new_tokens, checkpoint.model.end_of_text) for prompt in prompts]
    for start in range(0, len(continuations), REFERENCE_BATCH):
        batch = continuations[start : start + REFERENCE_BATCH]
        # Padded on the right, where the real tokens' causal attention does not look.
        ids = np.full((len(batch), max(len(each.read) for each in batch)), checkpoint.model.end_of_text)
        for row, each in zip(ids, batch, strict=True):
            row[: len(each.read)] = each.read
        for text, each, padded in zip(texts[start:], batch, reference(ids), strict=False):
            yield text, each, padded[: len(each.read)]


def _count_ties(checkpoint: Checkpoint, text: str, each: Continuation, logits: np.ndarray) -> int:
    """Return the number of tokens that differ from the checkpoint's because of a tie.

    Raises:
        ExportError: a token differs without a tie.
    """
    choosing = logits[len(each.prompt) - 1 :]
    behind = choosing.max(axis=-1) - np.take_along_axis(choosing, each.new[:, None], axis=-1)[:, 0]
    for index in np.flatnonzero(~(behind < TIE))[:1]:
        ours, theirs = (
            checkpoint.tokenizer.id_to_token(int(token)) for token in (each.new[index], choosing[index].argmax())
        )
        raise ExportError(
            f"the graph continues {text!r} differently from the checkpoint: token {index + 1} is {ours!r}, "
            f"not {theirs!r} (the checkpoint's logits of the two are {behind[index]:.2g} apart), "
            "so nothing was written."
        )
    return int((behind > 0).sum())
