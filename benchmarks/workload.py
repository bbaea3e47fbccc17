"""The work of a benchmark: prompts of random tokens, and a number of clients that ask for one thing after another."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from server.bundle import Bundle

Prompt = tuple[int, ...]
SAMPLING: dict[bool, dict[str, Any]] = {True: {"temperature": 0}, False: {"temperature": 1, "top_p": 0.9}}
SAMPLED = {True: "greedy", False: "temperature 1, top-p 0.9"}
"""The sampling of a benchmark, by whether it is greedy, and the same in words."""

Asked = TypeVar("Asked")
Reply = TypeVar("Reply")


def make_prompts(bundle: Bundle, count: int, tokens: int, seed: int = 0) -> list[Prompt]:
    """`count` prompts of `tokens` random tokens each, never the end of text; the same seed gives the same prompts."""
    ids = np.random.default_rng(seed).integers(0, bundle.tokenizer.get_vocab_size() - 1, (count, tokens))
    ids += ids >= bundle.manifest.model.end_of_text
    return [tuple(row) for row in ids.tolist()]


async def closed_loop(clients: int, items: Iterable[Asked], ask: Callable[[Asked], Awaitable[Reply]]) -> list[Reply]:
    """Asks for each item once: so many clients at a time, each for the next as soon as its last is answered."""
    waiting, answers = iter(items), []

    async def client() -> None:
        for item in waiting:
            answers.append(await ask(item))

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return answers
