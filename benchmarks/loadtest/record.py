"""What the load generator writes down: a line of JSON for each request, and for each change of the number of users.

All times are seconds of the machine's one monotonic clock.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import msgspec

from benchmarks.timing import Timing

CUT = "cut"
"""The problem of a request that the end of the run cut off: no failure, but not whole either."""


class Asked(msgspec.Struct, tag=True, frozen=True):
    """One request.

    behaviour: whose. submitted: when it was due, which in an open loop may be before it was sent. arrivals: of each
    event that brought text. prompt_tokens, tokens: as the server counts them, else 0 and one for each arrival.
    problem: why it is not whole; None for one that is.
    """

    behaviour: str
    submitted: float
    ended: float
    arrivals: list[float]
    prompt_tokens: int
    tokens: int
    problem: str | None = None

    @property
    def timing(self) -> Timing:
        """When its tokens came; those that only together complete a character are counted with the last."""
        more = max(0, self.tokens - len(self.arrivals))
        counts = [1] * (len(self.arrivals) - 1) + [1 + more]
        return Timing(self.submitted, self.ended, tuple(zip(self.arrivals, counts, strict=False)))

    @property
    def failed(self) -> bool:
        """Whether the server is to blame."""
        return self.problem not in (None, CUT)


class Stage(msgspec.Struct, tag=True, frozen=True):
    """From now on so many users; 0 at the end."""

    at: float
    users: int


class Recorder:
    """A file of its own for each process that generates load, in one folder; without a folder, nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._file: TextIO | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / f"{os.getpid()}.jsonl").open("a", encoding="utf-8")

    def write(self, entry: Asked | Stage) -> None:
        """Writes it at once, so that a run that is killed leaves what it has."""
        if self._file is not None:
            self._file.write(msgspec.json.encode(entry).decode() + "\n")
            self._file.flush()


def read(folder: Path) -> tuple[list[Asked], list[Stage]]:
    """All that the processes of a run wrote, in the order of time.

    Raises ChildProcessError for a run that wrote nothing: its generator has not begun.
    """
    entries = [
        msgspec.json.decode(line, type=Asked | Stage)
        for file in sorted(folder.glob("*.jsonl"))
        for line in file.read_bytes().splitlines()
    ]
    if not entries:
        raise ChildProcessError(f"{folder}: the load generator wrote nothing down")
    return _sorted(entries)


def _sorted(entries: Iterable[Asked | Stage]) -> tuple[list[Asked], list[Stage]]:
    asked, stages = [], []
    for entry in entries:
        if isinstance(entry, Stage):
            stages.append(entry)
        else:
            asked.append(entry)
    return sorted(asked, key=lambda each: each.submitted), sorted(stages, key=lambda each: each.at)
