"""From what the generator wrote down to figures, and to what makes them doubtful."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from benchmarks.loadtest.record import CUT, Asked, Stage
from benchmarks.loadtest.watch import Shares
from benchmarks.peers.neighbours import DISTURBING
from benchmarks.timing import PERCENTILES

SETTLING = 0.2
"""The first fifth of a stage is not counted: requests of the stage before are still under way."""

SATURATED = 0.8
"""A load generator that takes so much of its one core is late itself, and calls it the server's latency."""

STOLEN = 0.05
"""So many cores given to other machines make a figure doubtful."""

FOREVER = 1e9
"""Seconds, of what never came."""

TOLERANCE = 0.05
"""A percentile that requests cut short could not have raised by more is as good as measured."""

SAMPLES = {50: 5, 95: 20, 99: 100}
"""Samples that a percentile needs to mean anything, by its rank."""

MIN_TOKENS = 100
"""So many have to come, so that the first and the last of them are not what a speed is made of."""

DIFFERENCE = 0.02
"""Share by which the generator's count of tokens may differ from the server's own."""


@dataclass(frozen=True)
class Percentiles:
    """Seconds by rank, those that there are samples for. at_least: ranks that requests cut short would have raised."""

    seconds: dict[int, float] = field(default_factory=dict)
    at_least: tuple[int, ...] = ()

    @classmethod
    def of(cls, whole: Sequence[float], cut: Sequence[float] = ()) -> "Percentiles":
        """whole: times that were measured to their end; cut: times that would have been longer."""
        values = [*whole, *cut]
        ranks = [rank for rank in PERCENTILES if len(values) >= SAMPLES[rank]]
        seconds = {rank: float(np.percentile(values, rank)) for rank in ranks}
        had_they_gone_on = [*whole, *(FOREVER for _ in cut)]
        return cls(
            seconds,
            tuple(rank for rank in ranks if np.percentile(had_they_gone_on, rank) > (1 + TOLERANCE) * seconds[rank]),
        )


@dataclass(frozen=True)
class Figures:
    """One target under one load.

    level: users at a time, or in an open loop requests a second. seconds: that were counted. requests: that were
    under way in that time; answered: that came to their end in it. prompt_tokens: of these, the median, as the server
    counts them. tokens: that came in it. first_token: of those whose first token came in it, or that still waited for
    it when the run cut them off. doubts: why not to trust it.
    """

    target: str
    level: float
    label: str
    seconds: float
    requests: int
    answered: int
    failures: int
    prompt_tokens: float
    tokens: int
    tokens_per_second: float
    first_token: Percentiles
    next_token: Percentiles
    shares: Shares
    doubts: tuple[str, ...]


def windows(stages: Sequence[Stage]) -> list[tuple[float, float, int]]:
    """From, to and users of each stage of a run, without the time in which it settles."""
    return [
        (stage.at + SETTLING * (after.at - stage.at), after.at, stage.users)
        for stage, after in pairwise(stages)
        if stage.users
    ]


def summarise(
    target: str, level: float, label: str, asked: Sequence[Asked], start: float, end: float, shares: Shares
) -> Figures:
    """The figures of the time from `start` to `end`."""
    under_way = [each for each in asked if each.submitted < end and each.ended >= start]
    first = [each.arrivals[0] - each.submitted for each in asked if each.arrivals and start <= each.arrivals[0] < end]
    waiting = [min(each.ended, end) - each.submitted for each in under_way if not each.arrivals and each.problem == CUT]
    gaps: list[float] = []
    tokens = 0
    for each in asked:
        timing = each.timing
        counted = replace(timing, arrivals=tuple(arrival for arrival in timing.arrivals if start <= arrival[0] < end))
        tokens += counted.tokens
        gaps += counted.gaps
    ended = [each for each in under_way if each.ended < end]
    whole = [each for each in ended if each.problem is None]
    failures = sum(each.failed for each in ended)
    return Figures(
        target=target,
        level=level,
        label=label,
        seconds=end - start,
        requests=len(under_way),
        answered=len(whole),
        failures=failures,
        prompt_tokens=float(np.median([each.prompt_tokens for each in whole])) if whole else 0.0,
        tokens=tokens,
        tokens_per_second=tokens / (end - start),
        first_token=Percentiles.of(first, waiting),
        next_token=Percentiles.of(gaps),
        shares=shares,
        doubts=tuple(_doubts(tokens, failures, shares)),
    )


def miscounted(received: int, written: int) -> str | None:
    """A doubt where generator and server do not agree on how many tokens there were."""
    if abs(received - written) <= DIFFERENCE * max(written, 1):
        return None
    return f"the generator received {received} tokens, the server counts {written}"


def _doubts(tokens: int, failures: int, shares: Shares) -> list[str]:
    found = []
    if failures:
        found.append(f"{failures} of the requests failed")
    if tokens < MIN_TOKENS:
        found.append(f"too few samples: {tokens} tokens came, a speed wants {MIN_TOKENS}")
    if shares.generator > SATURATED:
        found.append(f"the load generator was saturated: it took {shares.generator:.2f} of its one core")
    if shares.others > DISTURBING:
        found.append(f"other programs took {shares.others:.1f} cores")
    if shares.stolen > STOLEN:
        found.append(f"{shares.stolen:.2f} cores were stolen by the hypervisor")
    return found
