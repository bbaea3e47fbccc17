"""Load shapes: the number of users over time, and the runs of Locust for each shape."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

SHAPES = {
    "steady": "all users, all the time",
    "ramp": "more users stage by stage, each as long as the others",
    "spike": "an eighth of the users, then all for a third of the time, then an eighth again",
    "soak": "all users, for long: the end should be as fast as the beginning",
    "knee": "twice the users at each stage, until that brings less than a tenth more tokens per second",
}

MIN_GAIN = 0.1
"""Twice the users must bring this share more tokens per second; with less, they wait for each other."""


def stages(most: int) -> tuple[int, ...]:
    """Return 1, 2, 4 and so on, and `most` at the end."""
    return (*takewhile(lambda users: users < most, (2**power for power in range(most.bit_length()))), most)


def users_at(shape: str, elapsed: float, seconds: float, users: int, levels: Sequence[int]) -> int | None:
    """Return the users after `elapsed` of `seconds`; None at the end. For all shapes but the knee.

    Args:
        levels: the users in each stage of a ramp.
    """
    if elapsed >= seconds:
        return None
    if shape == "ramp":
        return levels[int(len(levels) * elapsed / seconds)]
    if shape == "spike" and not 1 <= 3 * elapsed / seconds < 2:
        return max(1, users // 8)
    return users


def knee(speeds: Sequence[float]) -> bool:
    """Return True if the last stage brought hardly more tokens per second than the one before."""
    return len(speeds) > 1 and speeds[-1] < (1 + MIN_GAIN) * speeds[-2]


def users_label(users: int) -> str:
    """Return the number of users in words."""
    return "1 user" if users == 1 else f"{users} users"


@dataclass(frozen=True)
class PlannedRun:
    """One run of Locust: its name, its load, and Locust's flags for it."""

    label: str
    level: float
    seconds: float
    flags: tuple[Any, ...]


def planned_runs(shape: str, users: Sequence[int], rates: Sequence[float], seconds: float) -> list[PlannedRun]:
    """Return the runs for each target.

    A steady load has a run for each number of users or each rate. The other shapes are one run each.

    Args:
        rates: requests per second in an open loop; empty for a closed loop.
        seconds: the time for one number of users. A ramp takes this time for each of its stages.
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
