"""The figures of a load test, computed from the generator's records, and reasons to doubt them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from benchmarks.latency import PERCENTILES
from benchmarks.load.record import CUT, Asked, Stage
from benchmarks.load.run import LoadRun
from benchmarks.load.shapes import knee, users_label
from benchmarks.processor_time import DISTURBING, Shares

SETTLING = 0.2
"""The share of a stage left out at its start, while requests of the previous stage are still running."""

SATURATED = 0.8
"""Above this share of its one core, the load generator's own delays look like the server's latency."""

STOLEN = 0.05
"""A figure is doubtful if the hypervisor gives more cores than this to other machines."""

FOREVER = 1e9
"""Seconds until a token that never came."""

TOLERANCE = 0.05
"""A percentile counts as measured if unfinished requests could raise it by this share at most."""

SAMPLES = {50: 5, 95: 20, 99: 100}
"""The fewest samples for a percentile, by its rank."""

MIN_TOKENS = 100
"""The fewest tokens for a speed; with fewer, the first and the last of them decide it."""

DIFFERENCE = 0.02
"""The largest share by which the generator's count of tokens may differ from the server's."""


@dataclass(frozen=True)
class Percentiles:
    """Percentiles with enough samples.

    Attributes:
        seconds: the percentiles by rank.
        at_least: the ranks that unfinished requests could have raised.
    """

    seconds: dict[int, float] = field(default_factory=dict)
    at_least: tuple[int, ...] = ()

    @classmethod
    def of(cls, whole: Sequence[float], cut: Sequence[float] = ()) -> "Percentiles":
        """Return the percentiles of some times.

        Args:
            whole: complete times.
            cut: times of requests cut off before their end; the true times are longer.
        """
        values = [*whole, *cut]
        ranks = [rank for rank in PERCENTILES if len(values) >= SAMPLES[rank]]
        seconds = {rank: float(np.percentile(values, rank)) for rank in ranks}
        longer = [*whole, *(FOREVER for _ in cut)]
        raised = (rank for rank in ranks if np.percentile(longer, rank) > (1 + TOLERANCE) * seconds[rank])
        return cls(seconds, tuple(raised))


@dataclass(frozen=True)
class LoadFigures:
    """The figures of one target under one load.

    Attributes:
        level: users at a time; in an open loop, requests per second.
        seconds: the time counted.
        requests: the requests running in this time.
        answered: the requests completed in this time.
        prompt_tokens: the median of their prompt tokens, by the server's count.
        tokens: the tokens received in this time.
        first_token: TTFT of the requests with a first token in this time, or cut off while waiting for it.
        doubts: reasons not to trust the figures.
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
    """Return start, end and users of each stage of a run, without the time to settle."""
    pairs = ((stage, after.at) for stage, after in pairwise(stages) if stage.users)
    return [(stage.at + SETTLING * (end - stage.at), end, stage.users) for stage, end in pairs]


def figures_of(run: LoadRun, shape: str) -> list[LoadFigures]:
    """Return the figures of each stage of a run. A soak has two halves, to compare with each other."""
    found = []
    for number, (start, end, users) in enumerate(windows(run.stages)):
        name, middle = users_label(users), (start + end) / 2
        parts = [(run.label if shape in ("steady", "poisson") else name, start, end)]
        if shape == "spike":
            parts = [(f"{name}, {('before', 'in the spike', 'after')[number]}", start, end)]
        if shape == "soak":
            parts = [(f"{name}, first half", start, middle), (f"{name}, second half", middle, end)]
        level = run.level if shape == "poisson" else float(users)
        for label, begin, finish in parts:
            shares = run.watch.shares(begin, finish)
            found.append(summarise(run.target, level, label, run.asked, begin, finish, shares))
    doubt = miscounted(run.received, run.written)
    return [replace(each, doubts=(*each.doubts, doubt)) for each in found] if doubt else found


def summarise(
    target: str, level: float, label: str, asked: Sequence[Asked], start: float, end: float, shares: Shares
) -> LoadFigures:
    """Return the figures of the time from `start` to `end`."""
    under_way = [each for each in asked if each.submitted < end and each.ended >= start]
    first = [each.arrivals[0] - each.submitted for each in asked if each.arrivals and start <= each.arrivals[0] < end]
    waiting = [min(each.ended, end) - each.submitted for each in under_way if not each.arrivals and each.problem == CUT]
    timings = [
        replace(timing, arrivals=tuple(arrival for arrival in timing.arrivals if start <= arrival[0] < end))
        for timing in (each.timing for each in asked)
    ]
    tokens = sum(timing.tokens for timing in timings)
    ended = [each for each in under_way if each.ended < end]
    whole = [each for each in ended if each.problem is None]
    failures = sum(each.failed for each in ended)
    return LoadFigures(
        target,
        level,
        label,
        seconds=end - start,
        requests=len(under_way),
        answered=len(whole),
        failures=failures,
        prompt_tokens=float(np.median([each.prompt_tokens for each in whole])) if whole else 0.0,
        tokens=tokens,
        tokens_per_second=tokens / (end - start),
        first_token=Percentiles.of(first, waiting),
        next_token=Percentiles.of([gap for timing in timings for gap in timing.gaps]),
        shares=shares,
        doubts=tuple(_doubts(tokens, failures, shares)),
    )


def knees(figures: Sequence[LoadFigures]) -> str:
    """Return each target's knee in words: twice these users bring hardly more tokens per second."""
    found = []
    for target in dict.fromkeys(each.target for each in figures):
        own = sorted((each for each in figures if each.target == target), key=lambda each: each.level)
        speeds = [each.tokens_per_second for each in own]
        bent = next((number for number in range(len(own)) if knee(speeds[: number + 1])), None)
        found.append(f"{target}: {'not reached' if bent is None else own[bent - 1].label}")
    return ", ".join(found)


def miscounted(received: int, written: int) -> str | None:
    """Return a doubt if generator and server disagree on the number of tokens."""
    if abs(received - written) <= DIFFERENCE * max(written, 1):
        return None
    return f"the generator received {received} tokens, the server counts {written}"


def _doubts(tokens: int, failures: int, shares: Shares) -> Iterator[str]:
    if failures:
        yield f"{failures} of the requests failed"
    if tokens < MIN_TOKENS:
        yield f"too few samples: {tokens} tokens received, at least {MIN_TOKENS} needed"
    if shares.generator > SATURATED:
        yield f"the load generator was saturated: it took {shares.generator:.2f} of its one core"
    if shares.others > DISTURBING:
        yield f"other programs took {shares.others:.1f} cores"
    if shares.stolen > STOLEN:
        yield f"{shares.stolen:.2f} cores were stolen by the hypervisor"
