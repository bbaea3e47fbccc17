"""Who computed meanwhile: the load generator, the server, other programs, other machines on the same hardware."""

import os
import threading
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from typing import Self

import numpy as np
import psutil

INTERVAL = 0.5
"""Seconds between two looks."""


@dataclass(frozen=True)
class Shares:
    """Cores that were busy, on average over a time. stolen: given to other machines by the hypervisor."""

    generator: float
    server: float
    others: float
    stolen: float


class Watch:
    """Looks at the processor times of two processes and of the machine, until it is left."""

    def __init__(self, generator: int, server: int) -> None:
        self._processes = (psutil.Process(generator), psutil.Process(server), psutil.Process(os.getpid()))
        self._spent = [0.0, 0.0, 0.0]
        self._looks: list[tuple[float, ...]] = []
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join()
        self._look()

    def shares(self, start: float, end: float) -> Shares:
        """From one time to another, both of `perf_counter`."""
        times, *spent = np.array(self._looks).T
        generator, server, own, busy, stolen = (
            float(np.diff(np.interp((start, end), times, each))[0]) / (end - start) for each in spent
        )
        return Shares(generator, server, max(0.0, busy - generator - server - own), stolen)

    def _look_on(self) -> None:
        while not self._left.wait(INTERVAL):
            self._look()

    def _look(self) -> None:
        for index, process in enumerate(self._processes):
            try:
                times = process.cpu_times()
                self._spent[index] = times.user + times.system
            except psutil.NoSuchProcess:  # it has ended: what it spent stays
                continue
        every = psutil.cpu_times()
        busy = sum(getattr(every, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq"))
        self._looks.append((perf_counter(), *self._spent, busy, getattr(every, "steal", 0.0)))
