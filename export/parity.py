"""Is the graph the checkpoint? Greedy continuations token by token through the KV cache against TensorFlow.

The graph decodes as the engine will: the prompt first, then one token at a time behind the cache. The checkpoint then
reads each prompt with the graph's continuation in one forward pass. Attention is causal, so its logits at a position
are those that its own step by step decoding would have had there, provided that all tokens before are its own too. By
induction: if at every position its highest logit is the graph's next token, then its greedy decoding, started from
the prompt, chooses the same tokens throughout. Ties are given no grace: another token is a failure even when the
checkpoint's two highest logits are next to equal, and the message then says how near they were.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from export.checkpoint import Checkpoint
from export.errors import ExportError
from export.graph import Graph

PROMPTS, NEW_TOKENS = 200, 64
TOLERANCE = 1e-3
"""Largest difference allowed between a logit of the graph and the checkpoint's."""

REFERENCE_BATCH = 10

Logits = Callable[[np.ndarray], np.ndarray]
"""From token ids, int64 [batch, sequence], to logits, float32 [batch, sequence, vocab], without a cache."""


@dataclass(frozen=True)
class Parity:
    """What was compared, and the largest difference met."""

    prompts: int
    tokens: int
    max_logit_difference: float


@dataclass(frozen=True)
class Continuation:
    """A prompt, int64 [prompt], the graph's next tokens, int64 [new], its logits, float32 [prompt + new - 1, vocab]."""

    prompt: np.ndarray
    new: np.ndarray
    logits: np.ndarray

    @property
    def read(self) -> np.ndarray:
        """The tokens that the graph has read, int64 [prompt + new - 1]: all but the last one that it chose."""
        return np.concatenate([self.prompt, self.new[:-1]])


def choose_prompts(checkpoint: Checkpoint, count: int = PROMPTS) -> list[str]:
    """Beginnings of `count` held-out documents evenly spread over the test split, 2 to 21 words each, in the template.

    All documents where there are fewer.
    """
    documents = checkpoint.documents
    count = min(count, len(documents))
    chosen = [documents[index * len(documents) // count] for index in range(count)]
    return [
        checkpoint.prompt.join_document(document, " ".join(document.text.split()[: 2 + index % 20]))
        for index, document in enumerate(chosen)
    ]


def decode_greedily(graph: Graph, prompt: np.ndarray, new_tokens: int, end_of_text: int) -> Continuation:
    """Continues `prompt`, int64 [prompt], by the highest logit, through the cache, to `end_of_text` or `new_tokens`."""
    logits = graph.logits(prompt[None], room=new_tokens)
    rows, new = [logits[0]], [int(logits[0, -1].argmax())]
    while len(new) < new_tokens and new[-1] != end_of_text:
        logits = graph.step(np.array([new[-1:]]))
        rows.append(logits[0])
        new.append(int(logits[0, -1].argmax()))
    return Continuation(prompt, np.array(new), np.concatenate(rows))


def verify(graph: Graph, reference: Logits, checkpoint: Checkpoint) -> Parity:
    """Compares the greedy continuations and all logits of `graph` with those of `reference`, the checkpoint itself.

    Raises ExportError at the first token that differs, and for logits further apart than `TOLERANCE`.
    """
    prompts, tokens, largest = 0, 0, 0.0
    for text, each, logits in _side_by_side(graph, reference, checkpoint):
        _compare_tokens(checkpoint, text, each, logits)
        prompts, tokens = prompts + 1, tokens + len(each.new)
        # maximum() keeps a NaN, which the comparison below then refuses.
        largest = float(np.maximum(largest, np.abs(logits - each.logits).max()))
    if not largest <= TOLERANCE:
        raise ExportError(
            f"the graph's logits differ from the checkpoint's by up to {largest:.3g}, over {TOLERANCE:g}: "
            "the conversion has changed the model, so nothing was written."
        )
    return Parity(prompts, tokens, largest)


def _side_by_side(
    graph: Graph, reference: Logits, checkpoint: Checkpoint
) -> Iterator[tuple[str, Continuation, np.ndarray]]:
    """Each prompt, how `graph` continues it, and what `reference` makes of that: float32 [prompt + new - 1, vocab]."""
    texts = choose_prompts(checkpoint)
    new_tokens = min(NEW_TOKENS, checkpoint.model.context // 2)
    room = checkpoint.model.context - new_tokens
    prompts = [np.array(checkpoint.encode(text)[:room], np.int64) for text in texts]
    continuations = [decode_greedily(graph, prompt, new_tokens, checkpoint.model.end_of_text) for prompt in prompts]
    for start in range(0, len(continuations), REFERENCE_BATCH):
        batch = continuations[start : start + REFERENCE_BATCH]
        # Padded on the right, where causal attention of the real tokens does not look.
        ids = np.full((len(batch), max(len(each.read) for each in batch)), checkpoint.model.end_of_text)
        for row, each in zip(ids, batch, strict=True):
            row[: len(each.read)] = each.read
        for text, each, padded in zip(texts[start:], batch, reference(ids), strict=False):
            yield text, each, padded[: len(each.read)]


def _compare_tokens(checkpoint: Checkpoint, text: str, each: Continuation, logits: np.ndarray) -> None:
    choosing = logits[len(each.prompt) - 1 :]
    for index in np.flatnonzero(choosing.argmax(axis=-1) != each.new)[:1]:
        second, first = np.sort(choosing[index])[-2:]
        ours, theirs = (
            checkpoint.tokenizer.id_to_token(int(token)) for token in (each.new[index], choosing[index].argmax())
        )
        raise ExportError(
            f"the graph continues {text!r} differently from the checkpoint: token {index + 1} is {ours!r}, "
            f"not {theirs!r} (the checkpoint's two highest logits are {first - second:.2g} apart), "
            "so nothing was written."
        )
