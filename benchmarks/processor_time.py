"""Processor time of the load generator, the server, other programs, and other virtual machines."""

import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Self

import numpy as np
import psutil

STAT = Path("/proc/stat")
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100

DISTURBING = 0.2
"""A figure is doubtful if others use more cores than this on average."""

INTERVAL = 0.5
"""Seconds between two samples."""


def others_seconds(stat: Path = STAT) -> float | None:
    """Return the processor time of all other processes, in seconds; None if unknown.

    Only differences have a meaning. Time taken by the hypervisor for other machines counts, too.
    """
    if not stat.is_file():
        return None
    user, nice, system, _idle, _waiting, irq, softirq, stolen = map(int, stat.read_text().split()[1:9])
    own = os.times()
    return (user + nice + system + irq + softirq + stolen) / TICKS - own.user - own.system


@dataclass(frozen=True)
class Shares:
    """Average numbers of busy cores.

    Attributes:
        stolen: cores given to other machines by the hypervisor.
    """

    generator: float
    server: float
    others: float
    stolen: float


class ProcessorWatch:
    """Samples the processor times of two processes and of the machine, inside a `with` block."""

    def __init__(self, generator: int, server: int) -> None:
        self._processes = (psutil.Process(generator), psutil.Process(server), psutil.Process(os.getpid()))
        self._spent = [0.0, 0.0, 0.0]
        self._samples: list[tuple[float, ...]] = []
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name="processor watch", daemon=True)

    def __enter__(self) -> Self:
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._left.set()
        self._thread.join()
        self._sample()

    def shares(self, start: float, end: float) -> Shares:
        """Return the shares between two times of `perf_counter`."""
        times, *spent = np.array(self._samples).T
        spans = (np.diff(np.interp((start, end), times, each))[0] for each in spent)
        generator, server, own, busy, stolen = (float(span) / (end - start) for span in spans)
        return Shares(generator, server, max(0.0, busy - generator - server - own), stolen)

    def _run(self) -> None:
        while not self._left.wait(INTERVAL):
            self._sample()

    def _sample(self) -> None:
        for index, process in enumerate(self._processes):
            with suppress(psutil.NoSuchProcess):  # it has ended: keep its last time
                self._spent[index] = sum(process.cpu_times()[:2])
        every = psutil.cpu_times()
        busy = sum(getattr(every, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq"))
        self._samples.append((perf_counter(), *self._spent, busy, getattr(every, "steal", 0.0)))
