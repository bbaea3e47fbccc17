"""The figures of a load test, from the records of its generator, and the doubts about them."""

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
"""The first fifth of a stage is not counted: requests of the stage before are still under way."""

SATURATED = 0.8
"""A load generator that takes so much of its one core is late itself, and calls it the server's latency."""

STOLEN = 0.05
"""So many cores given to other machines make a figure doubtful."""

FOREVER = 1e9
"""Seconds, of a token that never came."""

TOLERANCE = 0.05
"""A percentile that requests cut short could not have raised by more is as good as measured."""

SAMPLES = {50: 5, 95: 20, 99: 100}
"""Samples that a percentile needs to mean anything, by its rank."""

MIN_TOKENS = 100
"""So many have to come, or a speed is made of the first and the last of them."""

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
        longer = [*whole, *(FOREVER for _ in cut)]
        raised = (rank for rank in ranks if np.percentile(longer, rank) > (1 + TOLERANCE) * seconds[rank])
        return cls(seconds, tuple(raised))


@dataclass(frozen=True)
class LoadFigures:
    """One target under one load.

    level: users at a time, or in an open loop requests a second. seconds: that were counted. requests: that were
    under way in that time; answered: that came to their end in it. prompt_tokens: of these, the median, as the server
    counts them. tokens: that came in it. first_token: of those with a first token in it, or that still waited for it
    when the run cut them off. doubts: why not to trust it.
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
    pairs = ((stage, after.at) for stage, after in pairwise(stages) if stage.users)
    return [(stage.at + SETTLING * (end - stage.at), end, stage.users) for stage, end in pairs]


def figures_of(run: LoadRun, shape: str) -> list[LoadFigures]:
    """The figures of each stage of a run, and of the two halves of a soak, which ought to be alike."""
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
    """The figures of the time from `start` to `end`."""
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
    """For each target, the users from which on twice as many bring hardly more, if it came to that."""
    found = []
    for target in dict.fromkeys(each.target for each in figures):
        own = sorted((each for each in figures if each.target == target), key=lambda each: each.level)
        speeds = [each.tokens_per_second for each in own]
        bent = next((number for number in range(len(own)) if knee(speeds[: number + 1])), None)
        found.append(f"{target}: {'not reached' if bent is None else own[bent - 1].label}")
    return ", ".join(found)


def miscounted(received: int, written: int) -> str | None:
    """A doubt where generator and server do not agree on how many tokens there were."""
    if abs(received - written) <= DIFFERENCE * max(written, 1):
        return None
    return f"the generator received {received} tokens, the server counts {written}"


def _doubts(tokens: int, failures: int, shares: Shares) -> Iterator[str]:
    if failures:
        yield f"{failures} of the requests failed"
    if tokens < MIN_TOKENS:
        yield f"too few samples: {tokens} tokens came, a speed wants {MIN_TOKENS}"
    if shares.generator > SATURATED:
        yield f"the load generator was saturated: it took {shares.generator:.2f} of its one core"
    if shares.others > DISTURBING:
        yield f"other programs took {shares.others:.1f} cores"
    if shares.stolen > STOLEN:
        yield f"{shares.stolen:.2f} cores were stolen by the hypervisor"
