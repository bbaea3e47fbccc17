"""How long things took, counted in buckets: cheap in the engine's thread, and enough to tell quantiles from."""

from bisect import bisect_left
from collections.abc import Sequence

STEPS = (
    0.0005,
    0.001,
    0.002,
    0.005,
    0.01,
    0.015,
    0.02,
    0.03,
    0.04,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.5,
    0.75,
    1.0,
    2.5,
)
"""Seconds from one token to the next: a step of one row takes a few milliseconds, of 64 some 40 on two cores."""

WAITS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
"""Seconds of a whole request, or of a part of one, up to the deadline that is the default."""


class Histogram:
    """Counts values by the first bound that is not below them; one more bucket is for those above all. One writes.

    total: the sum of all values.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.total = 0.0
        self._counts = [0] * (len(self.bounds) + 1)

    @property
    def counts(self) -> tuple[int, ...]:
        """How many values each bucket has, by now."""
        return tuple(self._counts)

    def add(self, value: float) -> None:
        """Counts a value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def quantile(self, share: float, counts: Sequence[int]) -> float | None:
        """The value below which this share of them lies, as if those of a bucket were spread evenly; None of none.

        As Prometheus has it (histogram_quantile): of those above all bounds no more is known than that. counts: of the
        buckets, for example what came between two looks at this histogram.
        """
        rank = share * sum(counts)
        if not rank:
            return None
        lower = 0.0
        for bound, count in zip(self.bounds, counts, strict=False):
            if rank <= count:
                return lower + (bound - lower) * rank / count
            rank -= count
            lower = bound
        return lower
