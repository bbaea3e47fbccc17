"""The load generator's records: a line of JSON for each request, and for each change of the number of users.

All times are seconds of the machine's one monotonic clock.
"""

import os
from pathlib import Path
from typing import TextIO

import msgspec

from benchmarks.latency import Timing

CUT = "cut"
"""The problem of a request that the end of the run cut off: no failure, but not whole either."""


class Asked(msgspec.Struct, tag=True, frozen=True):
    """One request.

    behaviour: of its user. submitted: when it was due, which in an open loop may be before it was sent. arrivals: of
    each event that brought text. prompt_tokens, tokens: as the server counts them, else 0 and one for each arrival.
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
        """The times of its tokens."""
        return Timing.of(self.submitted, self.ended, self.arrivals, self.tokens)

    @property
    def failed(self) -> bool:
        """True if the server is to blame."""
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
    """The entries of all processes of a run, in the order of time.

    Raises ChildProcessError for a run that wrote nothing: its generator has not begun.
    """
    lines = (line for file in sorted(folder.glob("*.jsonl")) for line in file.read_bytes().splitlines())
    entries = [msgspec.json.decode(line, type=Asked | Stage) for line in lines]
    if not entries:
        raise ChildProcessError(f"{folder}: the load generator wrote nothing down")
    asked = sorted((each for each in entries if isinstance(each, Asked)), key=lambda each: each.submitted)
    return asked, sorted((each for each in entries if isinstance(each, Stage)), key=lambda each: each.at)
