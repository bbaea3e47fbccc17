"""The router's choice of replicas, through Ray Serve's interface but without Ray."""

import asyncio
import dataclasses
import uuid
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from server.cluster.replica import RemoteRequest
from server.cluster.router import PrefixRouter
from server.engine import Request

SLACK = 4
PROMPT = tuple(range(40))


class Routing:
    """A router, with requests to its first choice."""

    def __init__(self, *replicas: str) -> None:
        self.router = object.__new__(PrefixRouter)
        self.router.initialize_state(SLACK)
        self.replicas = [_replica(id) for id in replicas]

    async def choose(self, pending: Any) -> list[str]:
        ranks = await self.router.choose_replicas(self.replicas, pending)
        assert all(len(rank) == 1 for rank in ranks)
        return [rank[0].replica_id.unique_id for rank in ranks]

    async def send(self, prompt: Sequence[int] = (), rows: int = 1, client: str = "") -> tuple[str, Any]:
        """Send a request. Return its replica and the request."""
        pending = _pending(prompt, rows, client)
        chosen = (await self.choose(pending))[0]
        self.router.on_request_routed(pending, _replica(chosen).replica_id, None)
        return chosen, pending

    def end(self, sent: tuple[str, Any]) -> None:
        self.router.on_request_completed(_replica(sent[0]).replica_id, sent[1].metadata.internal_request_id)


def _replica(id: str) -> Any:
    return SimpleNamespace(replica_id=SimpleNamespace(unique_id=id))


def _pending(prompt: Sequence[int], rows: int, client: str = "") -> Any:
    id = uuid.uuid4().hex
    return SimpleNamespace(
        args=[RemoteRequest(id, Request(prompt, client=client), rows, rows, block_size=16)],
        metadata=SimpleNamespace(internal_request_id=id),
        future=asyncio.get_running_loop().create_future(),
    )


async def _ended(pending: Any) -> None:
    pending.future.cancel()
    await asyncio.sleep(0)


def test_each_goes_to_whoever_has_least_to_do() -> None:
    async def check() -> None:
        routing = Routing("a", "b", "c")
        assert {(await routing.send(rows=rows))[0] for rows in (3, 1, 2)} == {"a", "b", "c"}
        least = [await routing.send() for _ in range(3)]
        assert [who for who, _ in least].count(least[0][0]) < 3
        everybody = await routing.choose(_pending((), 1))
        assert sorted(everybody) == ["a", "b", "c"], "the others follow, in case it is gone"

    asyncio.run(check())


def test_a_prompt_stays_with_whoever_has_read_how_it_begins() -> None:
    async def check() -> None:
        routing = Routing("a", "b")
        first = await routing.send(PROMPT)
        other = await routing.send(range(100, 140))
        assert other[0] != first[0]
        for longer in (PROMPT, (*PROMPT, 7, 8, 9), PROMPT[:35]):
            assert (await routing.send(longer))[0] == first[0]

    asyncio.run(check())


def test_a_prompt_of_another_client_draws_nobody() -> None:
    async def check() -> None:
        routing = Routing("a", "b")
        first = await routing.send(PROMPT, client="me")
        assert (await routing.send(PROMPT, client="you"))[0] != first[0]
        assert (await routing.send(PROMPT, client="me"))[0] == first[0]

    asyncio.run(check())


def test_the_longest_beginning_counts() -> None:
    async def check() -> None:
        routing = Routing("a", "b")
        template = range(16)
        first = await routing.send((*template, *range(50, 82)))
        routing.end(first)
        second = await routing.send((*template, *range(90, 122)), rows=SLACK + 1)
        third = await routing.send((*template, *range(200, 232)))
        assert third[0] != second[0], "the second replica is too busy"
        routing.end(second)
        assert (await routing.send((*template, *range(90, 130))))[0] == second[0]
        assert (await routing.send((*template, *range(200, 240))))[0] == third[0]

    asyncio.run(check())


def test_what_is_shorter_than_a_block_of_the_engine_draws_nobody() -> None:
    async def check() -> None:
        routing = Routing("a", "b")
        first = await routing.send(PROMPT[:15])
        assert (await routing.send(PROMPT[:15]))[0] != first[0]

    asyncio.run(check())


def test_nobody_is_given_much_more_than_the_others_for_what_it_has_read() -> None:
    async def check() -> None:
        routing = Routing("a", "b")
        first = await routing.send(PROMPT, rows=SLACK)
        assert (await routing.send(PROMPT))[0] == first[0]
        second = await routing.send(PROMPT)
        assert second[0] != first[0]
        assert (await routing.send(PROMPT))[0] == second[0], "it has the prefix too by now"

    asyncio.run(check())


def test_a_replica_that_could_not_finish_it_is_the_last_to_be_asked_again() -> None:
    async def check() -> None:
        routing = Routing("a", "b", "c")
        first = await routing.send(PROMPT)
        for who in {"a", "b", "c"} - {first[0]}:
            await routing.send(range(100, 140), rows=who.count("b") + 1)
        again = _pending(PROMPT, 1)
        again.args[0] = dataclasses.replace(again.args[0], avoid=(first[0],))
        ranks = await routing.choose(again)
        assert ranks[-1] == first[0]
        assert set(ranks) == {"a", "b", "c"}

    asyncio.run(check())


def test_rows_are_free_again_when_a_request_ends_or_is_never_sent() -> None:
    async def check() -> None:
        routing = Routing("a", "b")
        sent = await routing.send(PROMPT, rows=SLACK + 1)
        never = _pending(PROMPT, 1)
        assert (await routing.choose(never))[0] != sent[0]
        await _ended(never)
        routing.end(sent)
        routing.end(sent)
        assert not routing.router._rows

    asyncio.run(check())


def test_a_request_that_is_asked_for_again_counts_once_where_it_went() -> None:
    async def check() -> None:
        routing = Routing("a", "b")
        pending = _pending(PROMPT, 2)
        for _ in range(3):
            _, other = await routing.choose(pending)
        routing.router.on_request_routed(pending, _replica(other).replica_id, None)
        assert routing.router._rows == {other: 2}
        assert (await routing.choose(_pending(PROMPT, 1)))[0] == other

    asyncio.run(check())


def test_what_is_no_order_goes_anywhere_and_nobody_gets_nothing() -> None:
    async def check() -> None:
        assert await Routing("a").choose(None) == ["a"]
        assert await Routing().choose(_pending(PROMPT, 1)) == []

    asyncio.run(check())
