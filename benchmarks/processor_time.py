"""Processor time: of the load generator, the server, other programs, and other machines on the same hardware."""

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
"""So many cores' worth of others' work, on average, make a figure doubtful."""

INTERVAL = 0.5
"""Seconds between two samples."""


def others_seconds(stat: Path = STAT) -> float | None:
    """Processor time of everything but this process, in seconds from some moment on; None where it is not told.

    Time that a hypervisor gave to another machine counts, too.
    """
    if not stat.is_file():
        return None
    user, nice, system, _idle, _waiting, irq, softirq, stolen = map(int, stat.read_text().split()[1:9])
    own = os.times()
    return (user + nice + system + irq + softirq + stolen) / TICKS - own.user - own.system


@dataclass(frozen=True)
class Shares:
    """Cores that were busy, on average over a time. stolen: given to other machines by the hypervisor."""

    generator: float
    server: float
    others: float
    stolen: float


class ProcessorWatch:
    """Samples the processor times of two processes and of the machine, until it is left."""

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
        """From one time to another, both of `perf_counter`."""
        times, *spent = np.array(self._samples).T
        spans = (np.diff(np.interp((start, end), times, each))[0] for each in spent)
        generator, server, own, busy, stolen = (float(span) / (end - start) for span in spans)
        return Shares(generator, server, max(0.0, busy - generator - server - own), stolen)

    def _run(self) -> None:
        while not self._left.wait(INTERVAL):
            self._sample()

    def _sample(self) -> None:
        for index, process in enumerate(self._processes):
            with suppress(psutil.NoSuchProcess):  # it has ended: its time stays
                self._spent[index] = sum(process.cpu_times()[:2])
        every = psutil.cpu_times()
        busy = sum(getattr(every, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq"))
        self._samples.append((perf_counter(), *self._spent, busy, getattr(every, "steal", 0.0)))
