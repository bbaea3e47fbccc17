"""Latency figures: tokens per second, time to first token (TTFT), inter-token latency (ITL)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np

PERCENTILES = (50, 95, 99)
RANKS = " / ".join(f"p{rank}" for rank in PERCENTILES)
"""The heading of a column of percentiles."""


@dataclass(frozen=True)
class Timing:
    """The times of one request, in seconds of a monotonic clock.

    Attributes:
        arrivals: the time of each arrival, and its number of tokens. Tokens arrive together if only the last of them
            completes a character.
    """

    submitted: float
    ended: float
    arrivals: tuple[tuple[float, int], ...]

    @classmethod
    def of(cls, submitted: float, ended: float, arrivals: Sequence[float], tokens: int) -> "Timing":
        """Return a timing with one token for each arrival, and the rest of `tokens` with the last one.

        A stream does not give the number of tokens in each arrival.
        """
        counts = [1] * (len(arrivals) - 1) + [1 + max(0, tokens - len(arrivals))]
        return cls(submitted, ended, tuple(zip(arrivals, counts, strict=False)))

    @property
    def tokens(self) -> int:
        """The number of new tokens."""
        return sum(count for _, count in self.arrivals)

    @property
    def gaps(self) -> list[float]:
        """The inter-token latencies in seconds. Tokens in the same arrival share its gap."""
        gaps = ((time - before, count) for (before, _), (time, count) in pairwise(self.arrivals))
        return [gap / count for gap, count in gaps for _ in range(count)]


@dataclass(frozen=True)
class Summary:
    """The figures of one benchmark. Latencies are percentiles in seconds, by rank: 50, 95, 99.

    Attributes:
        tokens_per_second: the median of `each_round`.
        each_round: the tokens per second of each round.
    """

    tokens_per_second: float
    each_round: list[float]
    time_to_first_token: dict[int, float]
    inter_token_latency: dict[int, float]

    @property
    def cells(self) -> tuple[str, str, str]:
        """The cells of a table: tokens per second, and percentiles of both latencies in milliseconds."""
        latencies = (self.time_to_first_token, self.inter_token_latency)
        first, later = (" / ".join(map(milliseconds, each.values())) for each in latencies)
        return f"{self.tokens_per_second:.1f}", first, later


def summarise(rounds: Sequence[Sequence[Timing]]) -> Summary:
    """Return the figures of at least one round with at least one request."""
    timings = [timing for each in rounds for timing in each]
    speeds = [tokens_per_second(each) for each in rounds]
    return Summary(
        median(speeds),
        speeds,
        percentiles([timing.arrivals[0][0] - timing.submitted for timing in timings if timing.arrivals]),
        percentiles([gap for timing in timings for gap in timing.gaps]),
    )


def tokens_per_second(timings: Sequence[Timing]) -> float:
    """Return all new tokens, divided by the time from the first submission to the last end."""
    seconds = max(timing.ended for timing in timings) - min(timing.submitted for timing in timings)
    return sum(timing.tokens for timing in timings) / seconds


def percentiles(values: Sequence[float]) -> dict[int, float]:
    """Return the `PERCENTILES` of `values`; an empty dict if there are none."""
    return {rank: float(np.percentile(values, rank)) for rank in PERCENTILES} if values else {}


def milliseconds(seconds: float) -> str:
    """Return the milliseconds for a table, without decimals from a tenth of a second on."""
    return f"{1e3 * seconds:.0f}" if seconds >= 0.1 else f"{1e3 * seconds:.1f}"
