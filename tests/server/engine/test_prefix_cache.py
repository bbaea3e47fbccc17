"""The prefix cache: the prompts it keeps, the prefill it saves, the same tokens as without it."""

from dataclasses import replace

import pytest

from server.bundle import Bundle
from server.engine import Engine, EngineConfig, Request, Sampling
from server.engine.prefix_cache import OWNER, WIDTH, PrefixCache
from tests.server.engine.symbolic import SymbolicCache
from tests.server.reading import PRECISIONS, one_by_one, some_requests, tokens_of
from tests.server.runs import Run

CONTEXT = 128
SHORT = Sampling(max_tokens=8, temperature=0, ignore_end=True)


class Shelf:
    """A prefix cache in the last rows of a cache, and row 0 for prefill."""

    def __init__(self, kept: int) -> None:
        self.cache = SymbolicCache(1 + kept, CONTEXT)
        self.prefixes = PrefixCache(self.cache, 1, kept)

    def keep(self, *prompt: int, client: str = "a") -> None:
        self.cache.prefill(0, 0, [prompt])
        self.prefixes.store(prompt, 0, client)

    def found(self, *prompt: int, client: str = "a") -> int:
        """Return the number of tokens of `prompt` in the found row, after a check that it has them."""
        row, length = self.prefixes.find(prompt, client)
        assert self.cache.holds(row, prompt[:length])
        assert row >= 1 or not length
        return length

    def lengths(self) -> list[int]:
        """Return the number of tokens of each kept prompt, in ascending order."""
        return sorted((len(key) - OWNER) // WIDTH for key in self.prefixes._prompts.values())


def test_whole_blocks_that_both_begin_with_are_found() -> None:
    shelf = Shelf(2)
    shelf.keep(*[1] * 70)
    assert [shelf.found(*[1] * length) for length in (1, 16, 17, 64, 65, 90)] == [0, 0, 16, 48, 64, 64]
    assert shelf.found(*[1] * 40, *[2] * 40) == 32
    assert shelf.found(*[2] * 40, *[1] * 40) == 0


def test_the_longest_is_found() -> None:
    shelf = Shelf(2)
    shelf.keep(*[1] * 32, *[2] * 32)
    shelf.keep(*[1] * 48)
    assert shelf.found(*[1] * 60) == 48
    assert shelf.found(*[1] * 32, *[2] * 30) == 48


def test_short_prompts_are_not_kept() -> None:
    shelf = Shelf(1)
    shelf.keep(*[1] * 40)
    shelf.keep(*[2] * 31)
    assert shelf.found(*[2] * 31) == 0
    assert shelf.found(*[1] * 40) == 32


def test_the_one_unused_for_longest_makes_room() -> None:
    shelf = Shelf(3)
    for story in (1, 2, 3):
        shelf.keep(*[story] * 40)
    assert shelf.found(*[1] * 40) == 32
    shelf.keep(*[2] * 40)
    shelf.keep(*[4] * 40)
    assert [shelf.found(*[story] * 40) for story in (1, 2, 3, 4)] == [32, 32, 0, 32]


def test_a_prompt_takes_the_place_of_its_beginnings() -> None:
    shelf = Shelf(3)
    shelf.keep(*[1] * 32)
    shelf.keep(*[2] * 32)
    shelf.keep(*[1] * 32, *[3] * 16)
    shelf.keep(*[1] * 64)
    assert shelf.lengths() == [32, 48, 64]
    shelf.keep(*[1] * 48)
    assert shelf.lengths() == [32, 48, 64], "known already"


def test_nothing_is_kept_where_there_is_no_room_or_after_an_error() -> None:
    none, some = Shelf(0), Shelf(2)
    for shelf in (none, some):
        shelf.keep(*[1] * 40)
    some.prefixes.clear()
    assert none.found(*[1] * 40) == some.found(*[1] * 40) == 0
    for story in (2, 3):
        some.keep(*[story] * 40)
    assert [some.found(*[story] * 40) for story in (2, 3)] == [32, 32]


def test_each_client_finds_only_its_own() -> None:
    shelf = Shelf(3)
    shelf.keep(*[1] * 40, client="a")
    assert shelf.found(*[1] * 40, client="a") == 32
    assert shelf.found(*[1] * 40, client="b") == 0
    shelf.keep(*[1] * 64, client="b")
    assert (shelf.found(*[1] * 70, client="a"), shelf.found(*[1] * 70, client="b")) == (32, 64)
    shelf.keep(*[2] * 40, client="c")
    shelf.keep(*[3] * 40, client="c")
    assert shelf.found(*[1] * 40, client="a") == 0, "they share the rows"


def prefilled(engine: Engine, runs: list[Run], request: Request) -> tuple[list[int], int]:
    """Return the generated tokens, and the number of tokens prefilled for them."""
    runs.clear()
    tokens = tokens_of(engine.submit(request))
    return tokens, sum(run.tokens * run.rows for run in runs if run.kind == "prefill")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_asking_again_and_going_on_read_what_is_new(bundle: Bundle, runs: list[Run], precision: str) -> None:
    prompt = [*range(60)]
    with (
        Engine(bundle, EngineConfig(precision, threads=1, kept=0)) as fresh,
        Engine(bundle, EngineConfig(precision, threads=1)) as engine,
    ):
        request = Request(prompt, SHORT)
        tokens, read = prefilled(engine, runs, request)
        assert read == 60
        assert prefilled(engine, runs, request) == (tokens, 60 - 48)
        further = Request([*prompt, *tokens], SHORT)
        assert prefilled(engine, runs, further) == (one_by_one(fresh, [further])[0], 68 - 48)
        assert prefilled(engine, runs, further)[1] == 68 - 64
        other = Request([*prompt[:35], *[7] * 30], SHORT)
        assert prefilled(engine, runs, other) == (one_by_one(fresh, [other])[0], 65 - 32)
        assert prefilled(fresh, runs, request) == prefilled(fresh, runs, request) == (tokens, 60)


def test_the_prefill_of_a_prompt_does_not_tell_that_another_client_has_sent_it(bundle: Bundle, runs: list[Run]) -> None:
    with Engine(bundle, EngineConfig(threads=1)) as engine:
        mine, yours = (Request([*range(60)], SHORT, client=client) for client in ("me", "you"))
        tokens, read = prefilled(engine, runs, mine)
        assert read == 60
        assert prefilled(engine, runs, yours) == (tokens, 60)
        assert prefilled(engine, runs, mine) == prefilled(engine, runs, yours) == (tokens, 60 - 48)


def test_both_prompts_of_a_guided_request_are_kept(bundle: Bundle, runs: list[Run]) -> None:
    guided = Request([*range(60)], replace(SHORT, guidance=2.0), against=[*range(100, 150)])
    with Engine(bundle, EngineConfig(threads=1)) as engine:
        tokens, read = prefilled(engine, runs, guided)
        assert read == 60 * 2, "both at once, the shorter one padded"
        assert prefilled(engine, runs, guided) == (tokens, 60 - 48 + 50 - 48)
        assert prefilled(engine, runs, Request([*range(100, 150)], SHORT))[1] == 50 - 48


@pytest.mark.parametrize("precision", PRECISIONS)
def test_kept_prompts_change_no_token(bundle: Bundle, precision: str) -> None:
    """Many prompts share beginnings, and rows are taken, replaced and taken again."""
    requests = some_requests(40, seed=31, longest=100)
    with Engine(bundle, EngineConfig(precision, threads=1, kept=0)) as engine:
        expected = one_by_one(engine, requests)
    with Engine(bundle, EngineConfig(precision, threads=1, kept=3)) as engine:
        assert one_by_one(engine, requests) == expected
        assert one_by_one(engine, requests[::-1]) == expected[::-1]
