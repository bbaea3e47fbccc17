"""The fair queue: the order of groups between clients."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine.fair_queue import MAX_CLIENTS, FairQueue
from server.engine.sequence import CacheRow, Sequence, SequenceGroup
from server.engine.stats import Observer, SequenceStats
from server.engine.stream import Channel


class Asked(Sequence):
    """A sequence with only a client, a channel and a deadline."""

    def __init__(self, client: str, tokens: int, deadline: float) -> None:
        self.client = client
        self.cost = tokens
        self.channel = Channel()
        self.deadline = deadline
        self.stats = SequenceStats(Observer())


def group(client: str, tokens: int = 100, deadline: float = 1e9) -> SequenceGroup:
    return SequenceGroup([CacheRow([1])], [Asked(client, tokens, deadline)])


def run_next(waiting: FairQueue) -> SequenceGroup:
    """Run the next group to its end, and return it."""
    assert waiting.peek()
    group = waiting.pop()
    waiting.settle(group.sequences)
    return group


def all_of(waiting: FairQueue) -> list[SequenceGroup]:
    """Run the queued groups one after another, and return them in that order."""
    run = []
    while waiting.peek() is not None:
        run.append(run_next(waiting))
    return run


def clients(groups: list[SequenceGroup]) -> str:
    return "".join(each.client for each in groups)


def test_one_client_after_another_in_the_order_they_came() -> None:
    waiting = FairQueue()
    groups = [group("a", tokens) for tokens in (5, 900, 1, 40)]
    for each in groups:
        waiting.append(each)
    assert all_of(waiting) == groups


def test_a_client_with_many_waits_for_itself() -> None:
    waiting = FairQueue()
    for _ in range(200):
        waiting.append(group("a"))
    run_next(waiting)
    waiting.append(group("b"))
    waiting.append(group("c"))
    assert sorted(clients(all_of(waiting))[:3]) == ["a", "b", "c"]
    for each in "aaaabbcd":
        waiting.append(group(each))
    assert clients(all_of(waiting)) == "abcdabaa"


def test_turns_are_counted_in_tokens() -> None:
    """A client with groups ten times as long gets a tenth of the turns."""
    waiting = FairQueue()
    for _ in range(50):
        waiting.append(group("a", 1000))
        waiting.append(group("b", 100))
    assert Counter(clients(all_of(waiting)[:33])) == {"a": 3, "b": 30}


def test_nobody_waits_for_ever_behind_those_who_come_anew() -> None:
    """A client's second group starts, even if new clients keep arriving."""
    waiting = FairQueue()
    waiting.append(group("a"))
    waiting.append(group("a"))
    for number in range(20):
        waiting.append(group(f"new {number}"))
        if run_next(waiting).client == "a" and number:
            break
    else:
        pytest.fail("the second of a never began")


def test_a_client_owes_for_what_still_runs() -> None:
    """A newcomer goes before the next group of a client that holds the rows."""
    waiting = FairQueue()
    waiting.append(group("a", 1000))
    assert waiting.peek()
    running = waiting.pop()
    waiting.append(group("a", 1000))
    waiting.append(group("b", 10))
    waiting.settle(running.sequences)
    assert clients(all_of(waiting)) == "ba"


def test_a_client_owes_nothing_once_its_work_has_ended() -> None:
    waiting = FairQueue()
    waiting.append(group("a", 1000))
    waiting.append(group("b", 10))  # keeps the queue from starting over
    assert waiting.peek()
    waiting.settle(waiting.pop().sequences)
    waiting.append(group("a", 10))
    waiting.append(group("c", 10))
    assert clients(all_of(waiting)) == "bca"
    waiting.append(group("a", 10))
    waiting.append(group("b", 10))
    assert clients(all_of(waiting)) == "ab"


def test_a_client_owes_nothing_for_what_it_cancelled() -> None:
    waiting = FairQueue()
    waiting.append(group("b"))
    gone = group("a", 10**6)
    waiting.append(gone)
    gone.sequences[0].channel.abandon()
    waiting.remove_cancelled()
    waiting.append(group("a", 10))
    waiting.append(group("b", 10))
    assert clients(all_of(waiting)) == "bab"


def test_a_client_that_has_left_makes_nobody_wait() -> None:
    waiting = FairQueue()
    groups = [group("a") for _ in range(4)]
    for each in groups:
        waiting.append(each)
    for gone in (groups[0], groups[2]):
        gone.sequences[0].channel.abandon()
    assert waiting.peek() is groups[1]
    assert len(waiting) == 3
    waiting.remove_cancelled()
    assert list(waiting) == [groups[1], groups[3]]


def test_groups_past_their_deadline_are_removed() -> None:
    waiting = FairQueue()
    groups = [group("a", deadline=deadline) for deadline in (30, 10, 20)]
    for each in groups:
        waiting.append(each)
    assert waiting.remove_expired(20) == groups[1:]
    assert waiting.peek() is groups[0]
    assert waiting.clear() == groups[:1]
    assert waiting.peek() is None


@given(st.integers(0, 10**6))
def test_nobody_is_lost_or_served_twice_and_little_is_remembered(seed: int) -> None:
    chance, waiting = random.Random(seed), FairQueue()
    came: list[SequenceGroup] = []
    begun: list[SequenceGroup] = []
    running: list[SequenceGroup] = []
    for _ in range(300):
        if chance.random() < 0.5:
            came.append(group(str(chance.randrange(8)), chance.randint(1, 500)))
            waiting.append(came[-1])
        elif waiting.peek():
            begun.append(waiting.pop())
            running.append(begun[-1])
        if running and chance.random() < 0.3:
            waiting.settle(running.pop(chance.randrange(len(running))).sequences)
    begun += all_of(waiting)
    for each in running:
        waiting.settle(each.sequences)
    assert not waiting._unfinished
    assert sorted(map(id, begun)) == sorted(map(id, came))
    for client in map(str, range(8)):
        assert [each for each in begun if each.client == client] == [each for each in came if each.client == client]


def test_clients_who_left_are_forgotten() -> None:
    waiting = FairQueue()
    waiting.append(group("a", 10**6))
    waiting.append(group("a"))
    for number in range(5 * MAX_CLIENTS):
        waiting.append(group(str(number), 10))
        run_next(waiting)
    assert len(waiting._next_start) <= 2 * MAX_CLIENTS
