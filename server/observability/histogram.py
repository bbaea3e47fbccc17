"""Histograms of durations: cheap in the engine's thread, and enough for quantiles."""

from bisect import bisect_left
from collections.abc import Sequence

STEPS = tuple(ms / 1000 for ms in (0.5, 1, 2, 5, 10, 15, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 2500))
"""Bounds in seconds for ITL. On two cores, a step takes a few milliseconds, with 64 rows some 40."""

WAITS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
"""Bounds in seconds for a whole request or a part of one, up to the default deadline."""


class Histogram:
    """Counts values in buckets with upper bounds, and in one more for larger values.

    Only one thread may write. total: the sum of all values.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.total = 0.0
        self._counts = [0] * (len(self.bounds) + 1)

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of values in each bucket so far."""
        return tuple(self._counts)

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def quantile(self, share: float, counts: Sequence[int]) -> float | None:
        """Return the quantile at `share`, as if values lay evenly in their bucket; None without values.

        It is Prometheus's histogram_quantile, so a quantile above all bounds is the largest bound. counts: the values
        in each bucket, for example those between two looks at this histogram.
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
