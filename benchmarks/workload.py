"""The workload of a benchmark: prompts of random tokens, and clients in a closed loop."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from server.bundle import Bundle

Prompt = tuple[int, ...]
SAMPLING: dict[bool, dict[str, Any]] = {True: {"temperature": 0}, False: {"temperature": 1, "top_p": 0.9}}
SAMPLED = {True: "greedy", False: "temperature 1, top-p 0.9"}
"""The sampling parameters of a benchmark for greedy True and False, and the same in words."""

Asked = TypeVar("Asked")
Reply = TypeVar("Reply")


def make_prompts(bundle: Bundle, count: int, tokens: int, seed: int = 0) -> list[Prompt]:
    """Return `count` prompts of `tokens` random tokens each, without end-of-text tokens.

    The same seed gives the same prompts.
    """
    ids = np.random.default_rng(seed).integers(0, bundle.tokenizer.get_vocab_size() - 1, (count, tokens))
    ids += ids >= bundle.manifest.model.end_of_text
    return [tuple(row) for row in ids.tolist()]


async def closed_loop(clients: int, items: Iterable[Asked], ask: Callable[[Asked], Awaitable[Reply]]) -> list[Reply]:
    """Call `ask` for each item, `clients` at a time, and return the answers in the order of their ends."""
    waiting, answers = iter(items), []

    async def client() -> None:
        for item in waiting:
            answers.append(await ask(item))

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return answers
