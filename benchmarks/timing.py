"""When tokens came, and what that says: tokens per second, time to first token, inter-token latency."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Timing:
    """One request: when it was submitted and ended, and its arrivals, each a time and how many tokens came then.

    Times in seconds of one monotonic clock. Tokens come together when only the last of them completes a character.
    """

    submitted: float
    ended: float
    arrivals: tuple[tuple[float, int], ...]

    @property
    def tokens(self) -> int:
        """New tokens."""
        return sum(count for _, count in self.arrivals)

    @property
    def gaps(self) -> list[float]:
        """Seconds from one token to the next, after the first arrival; tokens that came together share theirs."""
        times = [time for time, _ in self.arrivals]
        return [
            (time - before) / count
            for before, (time, count) in zip(times, self.arrivals[1:], strict=False)
            for _ in range(count)
        ]


@dataclass(frozen=True)
class Summary:
    """All requests of one run. Percentiles in seconds, by their rank: 50, 95, 99."""

    concurrency: int
    requests: int
    tokens: int
    seconds: float
    tokens_per_second: float
    time_to_first_token: dict[int, float]
    inter_token_latency: dict[int, float]


def summarise(concurrency: int, timings: Sequence[Timing]) -> Summary:
    """Of at least one request. Throughput counts from the first submission to the last end."""
    seconds = max(timing.ended for timing in timings) - min(timing.submitted for timing in timings)
    tokens = sum(timing.tokens for timing in timings)
    return Summary(
        concurrency=concurrency,
        requests=len(timings),
        tokens=tokens,
        seconds=seconds,
        tokens_per_second=tokens / seconds,
        time_to_first_token=percentiles(
            [timing.arrivals[0][0] - timing.submitted for timing in timings if timing.tokens]
        ),
        inter_token_latency=percentiles([gap for timing in timings for gap in timing.gaps]),
    )


def percentiles(values: Sequence[float]) -> dict[int, float]:
    """`PERCENTILES` of `values`; none of no values."""
    return {rank: float(np.percentile(values, rank)) for rank in PERCENTILES} if values else {}
