"""The plots that are being written, and those that ended a short while ago."""

import asyncio
import secrets

from server.errors import PlotifyError
from server.plots.journal import Journal
from server.writing.plot import Plot


class UnknownPlot(PlotifyError):
    """There is no plot with this id, or it has been forgotten."""

    status = 404


class Plots:
    """Keeps the journals of plots, and decides how long. Belongs to one event loop.

    grace: seconds that a plot is written on while nobody follows it; then it is cancelled. ttl: seconds that it can be
    read after its end. limit: how many that have ended are kept; those that ended longest ago go first. How many are
    being written at once is bounded by the engine's rows and queue.
    """

    def __init__(self, grace: float, ttl: float, limit: int) -> None:
        self._grace = grace
        self._ttl = ttl
        self._limit = limit
        self._writing: dict[str, Journal] = {}
        self._ended: dict[str, Journal] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, plot: Plot) -> Journal:
        """Has a plot written down from now on, whether or not somebody reads it."""
        journal = Journal(secrets.token_urlsafe(16), plot)
        self._writing[journal.id] = journal
        self._watch(journal)
        task = asyncio.create_task(self._write(journal))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return journal

    def find(self, id: str) -> Journal:
        """The journal of a plot; asking for it is a sign of life. Raises UnknownPlot."""
        journal = self._writing.get(id) or self._ended.get(id)
        if journal is None:
            raise UnknownPlot(
                f"There is no plot {id:.40}: there never was one, it has ended and is forgotten, or the server was "
                f"started anew meanwhile. A plot can be read for {self._ttl:g} seconds after its end."
            )
        self._watch(journal)
        return journal

    def join(self, journal: Journal) -> None:
        """Somebody follows a plot now, until they leave."""
        journal.readers += 1
        self._watch(journal)

    async def leave(self, journal: Journal) -> None:
        """Somebody who joined follows it no longer."""
        journal.readers -= 1
        self._watch(journal)

    async def cancel(self, journal: Journal) -> None:
        """Stops a plot, and returns when it has ended; what was written of it stays."""
        journal.plot.cancel()
        await journal.feed.until_ended()

    async def close(self) -> None:
        """Forgets all plots, once they have ended: close the engine before."""
        await asyncio.gather(*self._tasks)
        for id in list(self._ended):
            self._forget(id)

    async def _write(self, journal: Journal) -> None:
        await journal.write()
        self._stop_timer(journal.id)
        self._ended[journal.id] = self._writing.pop(journal.id)
        self._timers[journal.id] = asyncio.get_running_loop().call_later(self._ttl, self._forget, journal.id)
        if len(self._ended) > self._limit:
            self._forget(next(iter(self._ended)))

    def _watch(self, journal: Journal) -> None:
        """Counts anew the time after which a plot that nobody follows is cancelled."""
        if journal.id in self._writing:
            self._stop_timer(journal.id)
            if not journal.readers:
                loop = asyncio.get_running_loop()
                self._timers[journal.id] = loop.call_later(self._grace, journal.plot.cancel)

    def _forget(self, id: str) -> None:
        self._stop_timer(id)
        del self._ended[id]

    def _stop_timer(self, id: str) -> None:
        timer = self._timers.pop(id, None)
        if timer is not None:
            timer.cancel()
