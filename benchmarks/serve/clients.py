"""A closed loop on the server: so many clients, each with one stream at a time, the next as soon as it ends."""

import asyncio
import time
from collections.abc import Sequence

import aiohttp
import msgspec

from benchmarks.load import Prompt
from benchmarks.timing import Timing

DATA, DONE = b"data: ", b"[DONE]"

STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


class _Choice(msgspec.Struct):
    text: str


class _Usage(msgspec.Struct):
    completion_tokens: int


class _Chunk(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None


def run_streams(
    address: str, model: str, prompts: Sequence[Prompt], new_tokens: int, greedy: bool, concurrency: int
) -> list[Timing]:
    """Streams of /v1/completions, one for each of `prompts`, by `concurrency` clients, as `run_load` does it bare.

    Raises ChildProcessError for a server that fails, and for an answer that is not what was asked for.
    """
    numbered = iter(enumerate(prompts))
    how = {"temperature": 0} if greedy else {"temperature": 1, "top_p": 0.9}

    async def ask(session: aiohttp.ClientSession, timings: list[Timing]) -> None:
        for seed, prompt in numbered:
            order = {"model": model, "prompt": prompt, "max_tokens": new_tokens, "seed": seed, "ignore_eos": True}
            submitted = time.perf_counter()
            async with session.post("/v1/completions", json=order | how | STREAMED) as answer:
                if answer.status != 200:
                    raise ChildProcessError(f"the server answered {answer.status}: {await answer.text()}")
                timings.append(await _read(answer, submitted, new_tokens))

    async def ask_all() -> list[Timing]:
        timings: list[Timing] = []
        connector = aiohttp.TCPConnector(limit=concurrency)
        async with aiohttp.ClientSession(address, connector=connector) as session, asyncio.TaskGroup() as clients:
            for _ in range(concurrency):
                clients.create_task(ask(session, timings))
        return timings

    try:
        return asyncio.run(ask_all())
    except ExceptionGroup as failed:
        first = failed.exceptions[0]
        if isinstance(first, aiohttp.ClientError):
            raise ChildProcessError(f"the server failed: {first}") from failed
        raise first from failed


async def _read(answer: aiohttp.ClientResponse, submitted: float, new_tokens: int) -> Timing:
    arrivals: list[tuple[float, int]] = []
    written = 0
    async for line in answer.content:
        if not line.startswith(DATA) or line[len(DATA) :].strip() == DONE:
            continue
        chunk = msgspec.json.decode(line[len(DATA) :], type=_Chunk)
        if chunk.choices:
            arrivals.append((time.perf_counter(), 1))
        elif chunk.usage:
            written = chunk.usage.completion_tokens
    ended = time.perf_counter()
    if written != new_tokens:
        raise ChildProcessError(f"the server wrote {written} of {new_tokens} tokens")
    # Tokens that only together complete a character come in one chunk; which ones, a chunk does not tell.
    arrivals[-1] = (arrivals[-1][0], 1 + written - len(arrivals))
    return Timing(submitted, ended, tuple(arrivals))
