"""Figures from times, by hand."""

import pytest

from benchmarks.timing import Round, Timing, percentiles, summarise


def test_gaps_lie_between_arrivals_and_are_shared_by_tokens_that_came_together() -> None:
    timing = Timing(submitted=10.0, ended=11.0, arrivals=((10.5, 1), (10.6, 1), (10.8, 2)))
    assert timing.tokens == 4
    assert timing.gaps == pytest.approx([0.1, 0.1, 0.1])


def test_a_round_counts_from_the_first_submission_to_the_last_end() -> None:
    timings = [
        Timing(0.0, 2.0, ((0.5, 1), (2.0, 1))),
        Timing(1.0, 4.0, ((3.0, 1), (4.0, 5))),
    ]
    assert Round(timings, engine_seconds=3.3, model_seconds=3.0).tokens_per_second == 2.0


def test_a_summary_takes_the_median_of_its_rounds_and_the_latencies_of_all_requests() -> None:
    rounds = [
        Round([Timing(0.0, end, ((0.5 * end, 1), (end, 1)))], engine_seconds=1.1 * end, model_seconds=end)
        for end in (1.0, 2.0, 4.0)
    ]
    summary = summarise(1, rounds)
    assert (summary.requests, summary.tokens) == (3, 6)
    assert summary.each_round == [2.0, 1.0, 0.5]
    assert summary.tokens_per_second == 1.0
    assert summary.time_to_first_token[50] == summary.inter_token_latency[50] == 1.0
    assert summary.beside_the_model == pytest.approx(0.1)


def test_a_request_that_ended_at_once_has_no_latency() -> None:
    summary = summarise(1, [Round([Timing(0.0, 1.0, ())], 1.0, 0.8)])
    assert summary.tokens_per_second == 0
    assert summary.time_to_first_token == summary.inter_token_latency == percentiles([]) == {}
