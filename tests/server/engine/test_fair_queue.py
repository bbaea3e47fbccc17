"""Whose turn it is."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine.fair_queue import MOST_REMEMBERED, Waiting
from server.engine.sequence import Context, Job, Sequence
from server.engine.stats import Observer, SequenceStats
from server.engine.stream import Channel


class Asked(Sequence):
    """No more than whether somebody reads it, and when it is late."""

    def __init__(self, client: str, deadline: float) -> None:
        self.client = client
        self.channel = Channel()
        self.deadline = deadline
        self.stats = SequenceStats(Observer())


def job(client: str, tokens: int = 100, deadline: float = 1e9) -> Job:
    return Job([Context([1])], [Asked(client, deadline)], tokens)


def all_of(waiting: Waiting) -> list[Job]:
    """Those that wait, as they begin."""
    begun = []
    while waiting.first() is not None:
        begun.append(waiting.begin())
    return begun


def clients(jobs: list[Job]) -> str:
    return "".join(each.client for each in jobs)


def test_one_client_after_another_in_the_order_they_came() -> None:
    waiting = Waiting()
    jobs = [job("a", tokens) for tokens in (5, 900, 1, 40)]
    for each in jobs:
        waiting.append(each)
    assert all_of(waiting) == jobs


def test_a_client_with_many_waits_for_itself() -> None:
    waiting = Waiting()
    for _ in range(200):
        waiting.append(job("a"))
    assert waiting.first()
    waiting.begin()
    waiting.append(job("b"))
    waiting.append(job("c"))
    assert sorted(clients(all_of(waiting))[:3]) == ["a", "b", "c"]
    for each in "aaaabbcd":
        waiting.append(job(each))
    assert clients(all_of(waiting)) == "abcdabaa"


def test_what_counts_is_tokens() -> None:
    """Who asks for ten times as much gets a turn a tenth as often."""
    waiting = Waiting()
    for _ in range(50):
        waiting.append(job("a", 1000))
        waiting.append(job("b", 100))
    assert Counter(clients(all_of(waiting)[:33])) == {"a": 3, "b": 30}


def test_nobody_waits_for_ever_behind_those_who_come_anew() -> None:
    """A client who owes a turn goes before newcomers, of whom there is no end."""
    waiting = Waiting()
    waiting.append(job("a"))
    waiting.append(job("a"))
    for number in range(20):
        waiting.append(job(f"new {number}"))
        assert waiting.first()
        if waiting.begin().client == "a" and number:
            break
    else:
        pytest.fail("the second of a never began")


def test_who_has_left_makes_nobody_wait() -> None:
    waiting = Waiting()
    jobs = [job("a") for _ in range(4)]
    for each in jobs:
        waiting.append(each)
    for gone in (jobs[0], jobs[2]):
        gone.sequences[0].channel.cancelled = True
    assert waiting.first() is jobs[1]
    assert len(waiting) == 3
    waiting.remove_abandoned()
    assert list(waiting) == [jobs[1], jobs[3]]


def test_those_whose_time_is_over_leave() -> None:
    waiting = Waiting()
    jobs = [job("a", deadline=deadline) for deadline in (30, 10, 20)]
    for each in jobs:
        waiting.append(each)
    assert waiting.remove_late(20) == jobs[1:]
    assert waiting.first() is jobs[0]
    assert waiting.clear() == jobs[:1]
    assert waiting.first() is None


@given(st.integers(0, 10**6))
def test_nobody_is_lost_or_served_twice_and_little_is_remembered(seed: int) -> None:
    chance, waiting = random.Random(seed), Waiting()
    came: list[Job] = []
    begun: list[Job] = []
    for _ in range(300):
        if chance.random() < 0.5:
            came.append(job(str(chance.randrange(8)), chance.randint(1, 500)))
            waiting.append(came[-1])
        elif waiting.first():
            begun.append(waiting.begin())
    begun += all_of(waiting)
    assert sorted(map(id, begun)) == sorted(map(id, came))
    for client in map(str, range(8)):
        assert [each for each in begun if each.client == client] == [each for each in came if each.client == client]


def test_clients_who_left_are_forgotten() -> None:
    waiting = Waiting()
    waiting.append(job("a", 10**6))
    waiting.append(job("a"))
    for number in range(5 * MOST_REMEMBERED):
        waiting.append(job(str(number), 10))
        assert waiting.first()
        waiting.begin()
    assert len(waiting._next_start) <= 2 * MOST_REMEMBERED
