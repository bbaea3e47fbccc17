"""The tokens of streams, and the same computed without the engine."""

import random
from collections.abc import Iterable

import numpy as np
import onnxruntime as ort

from server.bundle import Bundle
from server.engine import Chunk, Engine, Request, Sampling

PROMPT = "Plot: A detective in Lisbon"
GREEDY = Sampling(max_tokens=30, temperature=0)

PRECISIONS = ("fp32", "int8")


def tokens_of(chunks: Iterable[Chunk]) -> list[int]:
    return [token for chunk in chunks for token in chunk.token_ids]


def text_of(chunks: Iterable[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def one_by_one(engine: Engine, requests: Iterable[Request]) -> list[list[int]]:
    """Return the tokens of each request, run alone."""
    return [tokens_of(engine.submit(request)) for request in requests]


def all_at_once(engine: Engine, requests: Iterable[Request]) -> list[list[int]]:
    """Return the tokens of each request; all are submitted before any is read."""
    return [tokens_of(stream) for stream in [engine.submit(request) for request in requests]]


def some_requests(count: int, seed: int, longest: int = 60) -> list[Request]:
    """Return requests of all kinds, the same for the same `seed`; some share a beginning."""
    chance = random.Random(seed)
    shared = [[chance.randrange(399) for _ in range(longest)] for _ in range(4)]

    def prompt() -> list[int]:
        length = chance.randint(1, longest)
        kept = chance.choice((0, 0, chance.randint(0, length)))
        return chance.choice(shared)[:kept] + [chance.randrange(399) for _ in range(length - kept)]

    def sampling() -> Sampling:
        return Sampling(
            max_tokens=chance.randint(1, 24),
            temperature=chance.choice((0.0, 0.7, 1.0, 1.6)),
            top_k=chance.choice((0, 0, 5, 40)),
            top_p=chance.choice((1.0, 0.95, 0.6)),
            min_p=chance.choice((0.0, 0.0, 0.05)),
            repetition_penalty=chance.choice((1.0, 1.0, 1.2)),
            presence_penalty=chance.choice((0.0, 0.0, 0.5)),
            frequency_penalty=chance.choice((0.0, 0.0, 0.5)),
            guidance=chance.choice((1.0, 2.5)),
            ignore_end=True,
            seed=chance.randrange(10**6),
        )

    return [Request(prompt(), sampling(), chance.choice((None, None, prompt()))) for _ in range(count)]


def recomputed(bundle: Bundle, precision: str, prompt: list[int], count: int) -> list[int]:
    """Return greedy tokens, each from a full run on an empty cache."""
    shape = bundle.manifest.model
    session = ort.InferenceSession(bundle.model_file(precision), providers=["CPUExecutionProvider"])
    kind = np.float32 if precision == "fp32" else np.int8
    empty = np.zeros((1, shape.heads, shape.context, shape.head_dim), kind)
    caches = {entry.name: empty for entry in session.get_inputs() if entry.name.startswith("past_key_values")}
    tokens = list(prompt)
    for _ in range(count):
        length = len(tokens)
        inputs = {
            "input_ids": np.array([tokens]),
            "position_ids": np.arange(length)[None],
            "seqlens_k": np.array([length - 1], np.int32),
            "total_sequence_length": np.array([length], np.int32),
            "last_tokens": np.array([length - 1]),
        }
        tokens.append(int(session.run(["logits"], inputs | caches)[0][0].argmax()))
    return tokens[len(prompt) :]
