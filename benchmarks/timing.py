"""When tokens came, and what that says: tokens per second, time to first token, inter-token latency."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

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
class Round:
    """The requests of one turn, and how many seconds the engine's steps took, and its session within them."""

    timings: Sequence[Timing]
    engine_seconds: float
    model_seconds: float

    @property
    def tokens_per_second(self) -> float:
        """From the first submission to the last end."""
        return tokens_per_second(self.timings)


@dataclass(frozen=True)
class Summary:
    """All rounds of one concurrency. Latencies are percentiles in seconds, by their rank: 50, 95, 99.

    tokens_per_second: the median of `each_round`. beside_the_model: what the engine's steps took beside the session's
    own time, as a share of that.
    """

    concurrency: int
    requests: int
    tokens: int
    tokens_per_second: float
    each_round: list[float]
    time_to_first_token: dict[int, float]
    inter_token_latency: dict[int, float]
    beside_the_model: float


def summarise(concurrency: int, rounds: Sequence[Round]) -> Summary:
    """Of at least one round of at least one request."""
    timings = [timing for each in rounds for timing in each.timings]
    speeds = [each.tokens_per_second for each in rounds]
    return Summary(
        concurrency=concurrency,
        requests=len(timings),
        tokens=sum(timing.tokens for timing in timings),
        tokens_per_second=median(speeds),
        each_round=speeds,
        time_to_first_token=percentiles(
            [timing.arrivals[0][0] - timing.submitted for timing in timings if timing.tokens]
        ),
        inter_token_latency=percentiles([gap for timing in timings for gap in timing.gaps]),
        beside_the_model=sum(each.engine_seconds for each in rounds) / sum(each.model_seconds for each in rounds) - 1,
    )


def tokens_per_second(timings: Sequence[Timing]) -> float:
    """New tokens of requests that ran side by side, over the time from the first submission to the last end."""
    seconds = max(timing.ended for timing in timings) - min(timing.submitted for timing in timings)
    return sum(timing.tokens for timing in timings) / seconds


def percentiles(values: Sequence[float]) -> dict[int, float]:
    """`PERCENTILES` of `values`; none of no values."""
    return {rank: float(np.percentile(values, rank)) for rank in PERCENTILES} if values else {}
