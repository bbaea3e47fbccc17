"""The choice of a replica for a request."""

from collections import Counter
from collections.abc import Collection, Sequence

from server.cluster.router import Router
from server.engine import Request

SLACK = 4
PROMPT = tuple(range(40))


class Routing:
    """A router, and the rows of what it sent. `rows` may be changed."""

    def __init__(self, *replicas: str) -> None:
        self.router = Router(16, SLACK)
        self.rows = Counter(dict.fromkeys(replicas, 0))

    def send(self, prompt: Sequence[int] = (), rows: int = 1, client: str = "", avoid: Collection[str] = ()) -> str:
        """Send a request. Return its replica."""
        chosen = self.router.choose(Request(prompt, client=client), self.rows, avoid)
        self.rows[chosen] += rows
        return chosen


def test_each_goes_to_whoever_has_least_to_do() -> None:
    routing = Routing("a", "b", "c")
    assert {routing.send(rows=rows) for rows in (3, 1, 2)} == {"a", "b", "c"}
    assert len({routing.send() for _ in range(3)}) == 2


def test_of_equal_ones_any_may_be_chosen() -> None:
    assert {Routing("a", "b").send(PROMPT) for _ in range(100)} == {"a", "b"}


def test_a_prompt_stays_with_whoever_has_read_how_it_begins() -> None:
    routing = Routing("a", "b")
    first = routing.send(PROMPT)
    assert routing.send(range(100, 140)) != first
    for longer in (PROMPT, (*PROMPT, 7, 8, 9), PROMPT[:35]):
        assert routing.send(longer) == first


def test_a_prompt_of_another_client_draws_nobody() -> None:
    routing = Routing("a", "b")
    first = routing.send(PROMPT, client="me")
    assert routing.send(PROMPT, client="you") != first
    assert routing.send(PROMPT, client="me") == first


def test_the_longest_beginning_counts() -> None:
    routing = Routing("a", "b")
    template = range(16)
    first = routing.send((*template, *range(50, 82)))
    routing.rows[first] = 0
    second = routing.send((*template, *range(90, 122)), rows=SLACK + 1)
    third = routing.send((*template, *range(200, 232)))
    assert third != second, "the second replica is too busy"
    routing.rows[second] = 0
    assert routing.send((*template, *range(90, 130))) == second
    assert routing.send((*template, *range(200, 240))) == third


def test_what_is_shorter_than_a_block_of_the_engine_draws_nobody() -> None:
    routing = Routing("a", "b")
    first = routing.send(PROMPT[:15])
    assert routing.send(PROMPT[:15]) != first


def test_nobody_is_given_much_more_than_the_others_for_what_it_has_read() -> None:
    routing = Routing("a", "b")
    first = routing.send(PROMPT, rows=SLACK)
    assert routing.send(PROMPT) == first
    second = routing.send(PROMPT)
    assert second != first
    assert routing.send(PROMPT) == second, "it has the prefix too by now"


def test_a_replica_that_could_not_finish_it_is_the_last_to_be_asked_again() -> None:
    routing = Routing("a", "b", "c")
    lost = [routing.send(PROMPT)]
    lost.append(routing.send(PROMPT, avoid=lost))
    lost.append(routing.send(PROMPT, avoid=lost))
    assert sorted(lost) == ["a", "b", "c"]
    assert routing.send(PROMPT, avoid=lost) in lost
