"""The shapes of a load, which are numbers of users over time, and the runs of Locust that they take."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

SHAPES = {
    "steady": "all users, all the time",
    "ramp": "more users stage by stage, each as long as the others",
    "spike": "an eighth of the users, then all for a third of the time, then an eighth again",
    "soak": "all users, for long: it ought to be as fast, and as well, at the end as in the beginning",
    "knee": "twice the users at each stage, until that brings less than a tenth more tokens per second",
}

MIN_GAIN = 0.1
"""Twice the users have to bring so much more; with less, they wait for each other."""


def stages(most: int) -> tuple[int, ...]:
    """1, 2, 4 and so on, and `most` at last."""
    return (*takewhile(lambda users: users < most, (2**power for power in range(most.bit_length()))), most)


def users_at(shape: str, elapsed: float, seconds: float, users: int, levels: Sequence[int]) -> int | None:
    """The users after `elapsed` of `seconds`; None when it is over. levels: those of a ramp. Not for the knee."""
    if elapsed >= seconds:
        return None
    if shape == "ramp":
        return levels[int(len(levels) * elapsed / seconds)]
    if shape == "spike" and not 1 <= 3 * elapsed / seconds < 2:
        return max(1, users // 8)
    return users


def knee(speeds: Sequence[float]) -> bool:
    """True if the last of the stages' tokens per second shows that more users bring no more."""
    return len(speeds) > 1 and speeds[-1] < (1 + MIN_GAIN) * speeds[-2]


def users_label(users: int) -> str:
    """The number in words."""
    return "1 user" if users == 1 else f"{users} users"


@dataclass(frozen=True)
class PlannedRun:
    """One run of Locust: its name, the load that it puts on, and Locust's own flags for that."""

    label: str
    level: float
    seconds: float
    flags: tuple[Any, ...]


def planned_runs(shape: str, users: Sequence[int], rates: Sequence[float], seconds: float) -> list[PlannedRun]:
    """The runs that each target goes through. rates: of an open loop, requests a second; none for a closed one.

    A steady load is a run for each number of users or each rate, the other shapes are one run; `seconds` are those of
    one number of users, so a ramp takes as much longer as it has stages.
    """

    def planned(label: str, count: int, length: float, *more: Any) -> PlannedRun:
        flags = ("--shape", shape, "-u", count, "-r", count, "-t", f"{length:g}s", *more)
        return PlannedRun(label, count, length, flags)

    if rates:
        flags = ("--shape", "steady", "-u", 1, "-t", f"{seconds:g}s")
        return [PlannedRun(f"{rate:g} a second", rate, seconds, (*flags, "--rate", rate)) for rate in rates]
    if shape == "steady":
        return [planned(users_label(count), count, seconds) for count in users]
    most = max(users)
    length, more = {
        "ramp": (seconds * len(users), ("--levels", ",".join(map(str, sorted(users))))),
        "spike": (3 * seconds, ()),
        "knee": (seconds * len(stages(most)), ("--stage-seconds", seconds)),
    }.get(shape, (seconds, ()))
    return [planned(shape, most, length, *more)]
