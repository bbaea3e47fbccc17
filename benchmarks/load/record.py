"""The load generator's records: a line of JSON for each request and each change in users.

All times are seconds of the machine's one monotonic clock.
"""

import os
from pathlib import Path
from typing import TextIO

import msgspec

from benchmarks.latency import Timing

CUT = "cut"
"""The problem of a request cut off by the end of the run: not a failure, but not whole either."""


class Asked(msgspec.Struct, tag=True, frozen=True):
    """One request.

    Attributes:
        behaviour: the behaviour of its user.
        submitted: the time it was due. In an open loop it may be sent later.
        arrivals: the time of each event with text.
        prompt_tokens: the server's count; 0 without one.
        tokens: the server's count of new tokens; one for each arrival without one.
        problem: the reason if it is not whole; None if it is.
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
        """The times of the tokens."""
        return Timing.of(self.submitted, self.ended, self.arrivals, self.tokens)

    @property
    def failed(self) -> bool:
        """True if the request failed because of the server."""
        return self.problem not in (None, CUT)


class Stage(msgspec.Struct, tag=True, frozen=True):
    """The number of users from now on; 0 at the end."""

    at: float
    users: int


class Recorder:
    """Writes the records of one process to its own file in `folder`. Without a folder it does nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._file: TextIO | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / f"{os.getpid()}.jsonl").open("a", encoding="utf-8")

    def write(self, entry: Asked | Stage) -> None:
        """Write an entry at once, so a killed run keeps its records."""
        if self._file is not None:
            self._file.write(msgspec.json.encode(entry).decode() + "\n")
            self._file.flush()


def read(folder: Path) -> tuple[list[Asked], list[Stage]]:
    """Return the entries of all processes of a run, in order of time.

    Raises:
        ChildProcessError: there are none, because the generator has not started.
    """
    lines = (line for file in sorted(folder.glob("*.jsonl")) for line in file.read_bytes().splitlines())
    entries = [msgspec.json.decode(line, type=Asked | Stage) for line in lines]
    if not entries:
        raise ChildProcessError(f"{folder}: the load generator wrote nothing")
    asked = sorted((each for each in entries if isinstance(each, Asked)), key=lambda each: each.submitted)
    return asked, sorted((each for each in entries if isinstance(each, Stage)), key=lambda each: each.at)
