"""Two replicas behind Ray Serve, from their clients' view."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from server.bundle import Bundle
from server.engine import Engine, EngineConfig, Request, Sampling
from tests.server.cluster.conftest import ROWS, Cluster
from tests.server.reading import text_of

TOKENS = 48
PLOTS = 16


def _asked(model: str, seed: int, **fields: object) -> dict[str, Any]:
    wanted = {"model": model, "prompt": f"A detective in Lisbon, {seed}", "max_tokens": TOKENS, "seed": seed}
    return {**wanted, "temperature": 1.0, "top_p": 1.0, "ignore_eos": True, **fields}


def _written(bundle: Bundle, bodies: list[dict[str, Any]]) -> list[str]:
    """Return the same text from an engine in this process."""
    with Engine(bundle, EngineConfig(threads=1, rows=ROWS)) as engine:
        requests = [
            Request(body["prompt"], Sampling(max_tokens=body["max_tokens"], seed=body["seed"], ignore_end=True))
            for body in bodies
        ]
        return [text_of(engine.submit(request)) for request in requests]


async def _pieces(client: httpx.AsyncClient, body: dict[str, Any]) -> AsyncIterator[str]:
    async with client.stream("POST", "/v1/completions", json=body | {"stream": True}) as answer:
        assert answer.status_code == 200, await answer.aread()
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                event = json.loads(line.removeprefix("data: "))
                assert "error" not in event, event
                yield "".join(choice["text"] for choice in event["choices"])


def _until(condition: Any, what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def _running(cluster: Cluster) -> int:
    stats: dict[str, int] = httpx.get(f"{cluster.address}/healthz").json()
    return stats["running"] + stats["waiting"]


def test_a_plot_comes_token_by_token_and_is_its_seeds(cluster: Cluster, bundle: Bundle) -> None:
    body = _asked(bundle.manifest.name, 7)

    async def read() -> list[tuple[float, str]]:
        async with httpx.AsyncClient(base_url=cluster.address, timeout=30) as client:
            return [(time.monotonic(), output) async for output in _pieces(client, body)]

    came = asyncio.run(read())
    assert "".join(output for _, output in came) == _written(bundle, [body])[0]
    assert len(came) > TOKENS / 4
    assert came[-1][0] - came[0][0] > 0.5, "the slow steps are seen one by one"


def test_a_replica_that_is_killed_leaves_no_plot_unfinished(cluster: Cluster, bundle: Bundle) -> None:
    bodies = [_asked(bundle.manifest.name, seed) for seed in range(PLOTS)]
    victim = min(cluster.replicas())

    async def read() -> list[str]:
        begun = asyncio.Semaphore(0)
        limits = httpx.Limits(max_connections=PLOTS)
        async with httpx.AsyncClient(base_url=cluster.address, timeout=60, limits=limits) as client:

            async def text(body: dict[str, Any]) -> str:
                whole = ""
                async for output in _pieces(client, body):
                    if not whole:
                        begun.release()
                    whole += output
                return whole

            texts = [asyncio.create_task(text(body)) for body in bodies]
            for _ in bodies:
                await begun.acquire()
            assert not any(each.done() for each in texts)
            os.kill(victim, signal.SIGKILL)
            return await asyncio.gather(*texts)

    assert asyncio.run(read()) == _written(bundle, bodies)
    assert victim not in cluster.replicas()
    _until(lambda: cluster.figure("rows") == 2 * ROWS, "the replica was not replaced")
    assert httpx.get(f"{cluster.address}/readyz").json() == {"status": "ready"}


def test_continuations_of_one_prompt_have_seeds_that_follow_one_another(cluster: Cluster, bundle: Bundle) -> None:
    body = _asked(bundle.manifest.name, 30, n=3, max_tokens=8)
    alone = [body | {"seed": seed} for seed in (30, 31, 32)]
    read = cluster.figure("prefix_cache_queries_total")
    answer = httpx.post(f"{cluster.address}/v1/completions", json=body, timeout=30).json()
    assert [choice["text"] for choice in answer["choices"]] == _written(bundle, alone)
    once = answer["usage"]["prompt_tokens"]
    _until(lambda: cluster.figure("prefix_cache_queries_total") > read, "the replicas were not asked")
    assert cluster.figure("prefix_cache_queries_total") - read == once, "one replica prefills it, once"


def test_whoever_leaves_frees_the_rows(cluster: Cluster, bundle: Bundle) -> None:
    async def leave() -> None:
        async with httpx.AsyncClient(base_url=cluster.address, timeout=30) as client:
            async for _ in _pieces(client, _asked(bundle.manifest.name, 40, max_tokens=100, n=2)):
                assert _running(cluster) == 2
                return

    asyncio.run(leave())
    _until(lambda: _running(cluster) == 0, "it is written on", 2)


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        ({"prompt": "fox " * 500}, 400, "the prompt is"),
        ({"n": ROWS + 1, "best_of": ROWS + 1}, 400, str(ROWS)),
        ({"temperature": 11}, 400, "temperature"),
    ],
)
def test_what_cannot_be_served_is_refused_as_ever(
    cluster: Cluster, bundle: Bundle, fields: dict[str, object], status: int, says: str
) -> None:
    answer = httpx.post(f"{cluster.address}/v1/completions", json=_asked(bundle.manifest.name, 1, **fields))
    assert answer.status_code == status
    assert says in answer.json()["error"]["message"]


def test_a_full_house_is_told_to_come_back(cluster: Cluster, bundle: Bundle) -> None:
    async def fill() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=cluster.address, timeout=60, limits=limits) as client:
            bodies = [_asked(bundle.manifest.name, seed, n=8, max_tokens=16) for seed in range(20)]
            return await asyncio.gather(*(client.post("/v1/completions", json=body) for body in bodies))

    answers = asyncio.run(fill())
    taken = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(taken) + len(refused) == len(answers)
    # Two groups of eight fill a replica, and four may wait for each: 32 rows.
    assert len(taken) == 12
    assert refused
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)
