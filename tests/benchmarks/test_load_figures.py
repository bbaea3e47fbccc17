"""Shapes, records and figures of the load test, by hand and by hypothesis."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load.figures import SAMPLES, Percentiles, knees, miscounted, summarise, windows
from benchmarks.load.record import CUT, Asked, Recorder, Stage, read
from benchmarks.load.shapes import SHAPES, knee, planned_runs, stages, users_at
from benchmarks.processor_time import Shares
from benchmarks.streams import DONE, Failure, Stream, events

QUIET = Shares(generator=0.1, server=1.9, others=0.0, stolen=0.0)


def asked(submitted: float, arrivals: list[float], problem: str | None = None, tokens: int | None = None) -> Asked:
    ended = arrivals[-1] if arrivals else submitted + 1
    return Asked("client", submitted, ended, arrivals, 3, len(arrivals) if tokens is None else tokens, problem)


@given(st.sampled_from(sorted(set(SHAPES) - {"knee"})), st.floats(0, 1, exclude_max=True), st.integers(1, 4096))
def test_a_shape_never_has_more_users_than_it_may_nor_none(shape: str, part: float, most: int) -> None:
    users = users_at(shape, 60 * part, 60, most, stages(most))
    assert users is not None
    assert 1 <= users <= most
    assert users_at(shape, 60, 60, most, stages(most)) is None


@given(st.integers(1, 4096))
def test_stages_double_up_to_the_most(most: int) -> None:
    found = stages(most)
    assert found[0] == 1
    assert found[-1] == most
    assert all(before < after <= 2 * before for before, after in pairwise(found))


def test_a_spike_is_the_middle_third() -> None:
    assert [users_at("spike", at, 30, 64, ()) for at in (0, 9.9, 10.1, 19.9, 20.1, 29)] == [8, 8, 64, 64, 8, 8]


def test_a_ramp_gives_each_level_its_time() -> None:
    assert [users_at("ramp", at, 30, 32, (1, 8, 32)) for at in (0, 9.9, 10.1, 20.1, 29.9)] == [1, 1, 8, 32, 32]


def test_the_knee_is_where_twice_the_users_bring_less_than_a_tenth() -> None:
    assert [knee(speeds) for speeds in ([], [1.0], [1.0, 1.9], [10.0, 10.9], [10.0, 8.0])] == [
        False,
        False,
        False,
        True,
        True,
    ]


def test_the_knee_of_a_target_is_named() -> None:
    found = [
        summarise("served", users, f"{users} users", [asked(0, [at / tokens for at in range(tokens)])], 0, 1, QUIET)
        for users, tokens in ((2, 10), (4, 19), (8, 20))
    ]
    assert knees(found) == "served: 4 users"
    assert knees(found[:2]) == "served: not reached"


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_has_its_courses_and_their_length_is_bounded(shape: str) -> None:
    planned = planned_runs(shape, (1, 8), (), 10)
    assert len(planned) == (2 if shape == "steady" else 1)
    assert 10 <= sum(course.seconds for course in planned) <= 40
    for course in planned:
        assert course.flags[:2] == ("--shape", shape)


def test_an_open_loop_is_a_run_for_each_rate() -> None:
    planned = planned_runs("steady", (1, 8), (0.5, 2.0), 10)
    assert [(course.label, course.level) for course in planned] == [("0.5 a second", 0.5), ("2 a second", 2.0)]


def test_records_are_read_in_order(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "new")
    for entry in (asked(2.0, [2.5, 3.0]), Stage(1.0, 4), asked(1.5, [], "status 503"), Stage(9.0, 0)):
        recorder.write(entry)
    requests, found = read(tmp_path / "new")
    assert [each.submitted for each in requests] == [1.5, 2.0]
    assert [each.users for each in found] == [4, 0]
    assert requests[0].failed
    assert not requests[1].failed
    assert not asked(1.0, [], CUT).failed


def test_a_run_that_wrote_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ChildProcessError, match="wrote nothing"):
        read(tmp_path)


def test_tokens_without_a_character_of_their_own_are_counted_with_the_last() -> None:
    assert asked(0.0, [1.0, 2.0], tokens=5).timing.arrivals == ((1.0, 1), (2.0, 4))
    assert asked(0.0, [], tokens=0).timing.arrivals == ()


def test_the_first_fifth_of_a_stage_settles() -> None:
    assert windows([Stage(0, 1), Stage(10, 8), Stage(20, 0)]) == [(2, 10, 1), (12, 20, 8)]


@given(st.lists(st.floats(0, 100), max_size=200), st.lists(st.floats(0, 100), max_size=50))
def test_percentiles_rise_and_want_their_samples(whole: list[float], cut: list[float]) -> None:
    found = Percentiles.of(whole, cut)
    assert set(found.seconds) == {rank for rank, wanted in SAMPLES.items() if len(whole) + len(cut) >= wanted}
    assert sorted(found.seconds.values()) == [found.seconds[rank] for rank in sorted(found.seconds)]
    assert set(found.at_least) <= set(found.seconds)
    assert cut or not found.at_least


def test_requests_that_still_waited_make_a_percentile_a_lower_bound() -> None:
    found = Percentiles.of([1.0] * 18, [9.0] * 2)
    assert found.seconds[50] == 1.0
    assert found.at_least == (95,)


def test_one_that_was_cut_off_at_once_changes_nothing() -> None:
    found = Percentiles.of([1 + 0.001 * at for at in range(200)], [0.01])
    assert found.at_least == ()


@given(
    st.lists(
        st.builds(
            lambda start, gaps: asked(start, [start + sum(gaps[: at + 1]) for at in range(len(gaps))]),
            st.floats(0, 20),
            st.lists(st.floats(0.001, 1), max_size=8),
        ),
        max_size=30,
    )
)
def test_tokens_of_parts_are_those_of_the_whole(requests: list[Asked]) -> None:
    parts = [summarise("served", 1, "", requests, start, start + 10, QUIET) for start in (0, 10, 20)]
    assert sum(part.tokens for part in parts) == sum(each.tokens for each in requests)
    assert sum(part.answered for part in parts) == sum(each.ended < 30 for each in requests)


def test_figures_by_hand() -> None:
    requests = [asked(at, [at + 0.5, at + 0.6, at + 0.8]) for at in range(40)]
    found = summarise("served", 1, "1 user", requests, 0, 40, QUIET)
    assert (found.requests, found.answered, found.failures, found.tokens) == (40, 40, 0, 120)
    assert found.tokens_per_second == found.prompt_tokens == 3.0
    assert found.first_token.seconds == pytest.approx({50: 0.5, 95: 0.5})
    assert found.next_token.seconds[50] == pytest.approx(0.15)
    assert found.doubts == ()


@pytest.mark.parametrize(
    ("change", "doubt"),
    [
        (lambda requests: (requests[:5], QUIET), "too few samples: 30 tokens received"),
        (lambda requests: ([*requests, asked(1, [], "status 503")], QUIET), "1 of the requests failed"),
        (lambda requests: (requests, Shares(0.95, 1, 0, 0)), "generator was saturated: it took 0.95"),
        (lambda requests: (requests, Shares(0.1, 1, 0.7, 0)), "other programs took 0.7 cores"),
        (lambda requests: (requests, Shares(0.1, 1, 0, 0.2)), "0.20 cores were stolen"),
    ],
)
def test_a_doubtful_figure_has_its_reason(
    change: Callable[[list[Asked]], tuple[list[Asked], Shares]], doubt: str
) -> None:
    requests, shares = change([asked(at, [at + 0.5 + 0.01 * token for token in range(6)]) for at in range(20)])
    (said,) = summarise("served", 1, "1 user", requests, 0, 20, shares).doubts
    assert doubt in said


def test_requests_that_wait_at_the_end_count_as_at_least_so_long() -> None:
    """The server handles one of 32 users at a time, so most never get a token."""
    requests = [asked(0, [2.0 * at]) for at in range(1, 5)] + [Asked("client", 0, 10.1, [], 3, 0, CUT)] * 28
    found = summarise("eager", 32, "32 users", requests, 3, 10, QUIET)
    assert (found.requests, found.answered) == (31, 3)
    assert found.first_token.seconds == {50: 10, 95: 10}
    assert found.first_token.at_least == (50, 95)


def test_counts_that_differ_are_doubtful() -> None:
    assert miscounted(990, 1000) is None
    assert miscounted(970, 1000) == "the generator received 970 tokens, the server counts 1000"


CHUNKS = [{"choices": [{"text": "a"}]}, {"choices": [{"text": ""}]}, {"choices": [], "usage": {"completion_tokens": 4}}]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_events_are_read_as_they_come(end: str) -> None:
    spelt = [
        f": beat{end}{end}",
        *(f"data: {json.dumps(chunk)}{end}{end}" for chunk in CHUNKS),
        f"data: [DONE]{end}{end}",
    ]
    lines = "".join(spelt).encode().splitlines(keepends=True)
    found = [event.data for event in events("text/event-stream; charset=utf-8", lines).iter_sse()]
    assert found[-1] == DONE == "[DONE]"
    stream = Stream(0.0)
    waits = [stream.read(json.loads(event)) for event in found[:-1]]
    assert [wait is not None for wait in waits] == [True, False, False]
    assert (stream.text, stream.tokens) == ("a", 4)


def test_an_error_in_the_stream_is_a_failure() -> None:
    with pytest.raises(Failure, match="the model failed"):
        Stream(0.0).read({"error": {"message": "the model failed"}})
