"""Bits per byte, compared with a slow computation that shares no code.

It runs Optimum's graph token by token.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.checkpoint import Checkpoint, Document
from export.errors import ExportError
from export.graph import Graph
from export.perplexity import score, texts_to_score
from tests.export.rows import Optimum


def slow_bits(optimum: Optimum, prefix: list[int], text: list[int]) -> float:
    """Return -log2 of the probability of `text` after `prefix`.

    Each token takes a run of its own over all tokens before it.
    """
    bits, ids = 0.0, list(prefix)
    for token in text:
        logits = optimum.logits(np.array(ids))[-1].astype(np.float64)
        bits -= math.log2(math.exp(logits[token]) / np.exp(logits).sum())
        ids.append(token)
    return bits


def test_bits_per_byte_and_perplexity_are_the_slow_ones(
    tiny_bundle: Path, checkpoint: Checkpoint, optimum: Optimum
) -> None:
    documents = (Document("A door… 🎭", ("Horror", "Drama")), Document("Zoë loses her café in São Tomé.", ()))
    few = replace(checkpoint, documents=documents)
    encode = checkpoint.encode
    assert encode("Horror: A door… 🎭") == encode("Horror:") + encode(" A door… 🎭")
    bits = slow_bits(optimum, encode("Horror:"), encode(" A door… 🎭"))
    bits += slow_bits(optimum, encode("Plot:"), encode(" Zoë loses her café in São Tomé."))
    tokens = len(encode(" A door… 🎭")) + len(encode(" Zoë loses her café in São Tomé."))
    size = sum(1 + len(document.text.encode()) for document in documents)

    graph = Graph(tiny_bundle / "model.fp32.onnx", checkpoint.model)
    scored = score(graph.logits, texts_to_score(few))
    assert (scored.tokens, scored.bytes) == (tokens, size)
    assert scored.bits_per_byte == pytest.approx(bits / size, rel=1e-5)
    assert scored.perplexity == pytest.approx(2 ** (bits / tokens), rel=1e-5)


def test_a_document_over_the_context_is_cut_and_its_bytes_with_it(checkpoint: Checkpoint) -> None:
    long = replace(checkpoint, documents=(Document("東京の café " * 60, ("Drama",)),))
    (text,) = texts_to_score(long)
    assert text.cut
    assert len(text.ids) == 128
    spelled = checkpoint.decode(text.ids[text.first :])
    assert spelled.startswith(" 東京の café")
    whole = text.bytes // len("東京の café ".encode())
    assert spelled.count("東") in (whole, whole + 1)
    assert abs(len(spelled.rstrip("�").encode()) - text.bytes) <= 2


def test_with_no_text_before_the_first_token_is_not_scored(checkpoint: Checkpoint) -> None:
    prompt = replace(checkpoint.prompt, template="{genre}{text}", any_genre="")
    (text,) = texts_to_score(replace(checkpoint, prompt=prompt, documents=(Document("A door", ()),)))
    assert text.first == 1
    assert text.bytes == len("A door") - len(checkpoint.tokenizer.id_to_token(text.ids[0]))


def test_nothing_to_score_is_an_error(checkpoint: Checkpoint) -> None:
    prompt = replace(checkpoint.prompt, template="{text}")
    with pytest.raises(ExportError, match=r"test\.jsonl: no document is long enough"):
        texts_to_score(replace(checkpoint, prompt=prompt, documents=(Document("A", ()),)))


def test_batching_changes_nothing(tiny_bundle: Path, checkpoint: Checkpoint) -> None:
    graph = Graph(tiny_bundle / "model.fp32.onnx", checkpoint.model)
    texts = texts_to_score(checkpoint)
    alone = sum(score(graph.logits, [text]).nats for text in texts[:12])
    advanced: list[int] = []
    together = score(graph.logits, texts[:12], advanced.append)
    assert together.nats == pytest.approx(alone, rel=1e-6)
    assert sum(advanced) == 12
