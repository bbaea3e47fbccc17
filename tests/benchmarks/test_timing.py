"""Figures from times, by hand."""

import pytest

from benchmarks.timing import Timing, percentiles, summarise


def test_gaps_lie_between_arrivals_and_are_shared_by_tokens_that_came_together() -> None:
    timing = Timing(submitted=10.0, ended=11.0, arrivals=((10.5, 1), (10.6, 1), (10.8, 2)))
    assert timing.tokens == 4
    assert timing.gaps == pytest.approx([0.1, 0.1, 0.1])


def test_a_summary_counts_from_the_first_submission_to_the_last_end() -> None:
    timings = [
        Timing(0.0, 2.0, ((0.5, 1), (2.0, 1))),
        Timing(1.0, 4.0, ((3.0, 1), (4.0, 5))),
    ]
    summary = summarise(2, timings)
    assert (summary.requests, summary.tokens, summary.seconds) == (2, 8, 4.0)
    assert summary.tokens_per_second == 2.0
    assert summary.time_to_first_token[50] == pytest.approx((0.5 + 2.0) / 2)
    assert summary.inter_token_latency[50] == pytest.approx(0.2)


def test_a_request_that_ended_at_once_has_no_latency() -> None:
    summary = summarise(1, [Timing(0.0, 1.0, ())])
    assert summary.tokens_per_second == 0
    assert summary.time_to_first_token == summary.inter_token_latency == percentiles([]) == {}
