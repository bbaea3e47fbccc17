"""How many users there are, and when: pure functions of the time, and of what was measured."""

from collections.abc import Sequence
from itertools import takewhile

SHAPES = {
    "steady": "all users, all the time",
    "ramp": "more users stage by stage, each as long as the others",
    "spike": "an eighth of the users, then all for a third of the time, then an eighth again",
    "soak": "all users, for long: whether it is as fast, and as well, at the end as in the beginning",
    "knee": "twice the users at each stage, until that brings less than a tenth more tokens per second",
}

MIN_GAIN = 0.1
"""Twice the users have to bring so much more; with less, what they wait for is each other."""


def stages(most: int) -> tuple[int, ...]:
    """1, 2, 4 and so on, and `most` at last."""
    return (*takewhile(lambda users: users < most, (2**power for power in range(most.bit_length()))), most)


def users_at(shape: str, elapsed: float, seconds: float, users: int, levels: Sequence[int]) -> int | None:
    """So many after `elapsed` of `seconds`; None when it is over. levels: those of a ramp. Not for the knee."""
    if elapsed >= seconds:
        return None
    match shape:
        case "ramp":
            return levels[int(len(levels) * elapsed / seconds)]
        case "spike":
            return users if 1 <= 3 * elapsed / seconds < 2 else max(1, users // 8)
        case _:
            return users


def knee(speeds: Sequence[float]) -> bool:
    """Whether the last of the stages' tokens per second shows that more users bring no more."""
    return len(speeds) > 1 and speeds[-1] < (1 + MIN_GAIN) * speeds[-2]


def users_label(users: int) -> str:
    """In words."""
    return "1 user" if users == 1 else f"{users} users"
