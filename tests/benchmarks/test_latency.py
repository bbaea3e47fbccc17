"""Latency figures, compared with figures by hand."""

import pytest

from benchmarks.latency import Timing, percentiles, summarise, tokens_per_second


def test_gaps_lie_between_arrivals_and_are_shared_by_tokens_that_came_together() -> None:
    timing = Timing(submitted=10.0, ended=11.0, arrivals=((10.5, 1), (10.6, 1), (10.8, 2)))
    assert timing.tokens == 4
    assert timing.gaps == pytest.approx([0.1, 0.1, 0.1])


def test_a_round_counts_from_the_first_submission_to_the_last_end() -> None:
    timings = [
        Timing(0.0, 2.0, ((0.5, 1), (2.0, 1))),
        Timing(1.0, 4.0, ((3.0, 1), (4.0, 5))),
    ]
    assert tokens_per_second(timings) == 2.0


def test_a_summary_takes_the_median_of_its_rounds_and_the_latencies_of_all_requests() -> None:
    rounds = [[Timing(0.0, end, ((0.5 * end, 1), (end, 1)))] for end in (1.0, 2.0, 4.0)]
    summary = summarise(rounds)
    assert summary.each_round == [2.0, 1.0, 0.5]
    assert summary.tokens_per_second == 1.0
    assert summary.time_to_first_token[50] == summary.inter_token_latency[50] == 1.0


def test_a_request_that_ended_at_once_has_no_latency() -> None:
    summary = summarise([[Timing(0.0, 1.0, ())]])
    assert summary.tokens_per_second == 0
    assert summary.time_to_first_token == summary.inter_token_latency == percentiles([]) == {}


def test_tokens_without_a_character_of_their_own_are_counted_with_the_last() -> None:
    assert Timing.of(0.0, 3.0, [1.0, 2.0], 5).arrivals == ((1.0, 1), (2.0, 4))
    assert Timing.of(0.0, 3.0, [], 0).arrivals == ()
