"""The plots in progress, and those that ended recently."""

import asyncio
import secrets

from server.errors import PlotifyError
from server.plots.journal import Journal
from server.writing.plot import Plot


class UnknownPlot(PlotifyError):
    """There is no plot with this id, or it has been forgotten."""

    status = 404

    @classmethod
    def of(cls, id: str, ttl: float) -> "UnknownPlot":
        """Name the plot. ttl: seconds for which a plot can be read after its end."""
        return cls(
            f"There is no plot {id:.40}: it never existed, it ended and was forgotten, or the server has restarted. "
            f"You can read a plot for {ttl:g} seconds after its end."
        )


class Plots:
    """Keeps the journals of plots for a time. It belongs to one event loop.

    grace: seconds until a plot without readers is cancelled. ttl: seconds for which a plot can be read after its end.
    limit: ended plots to keep; the oldest go first. The engine's rows and queue limit the plots in progress.
    """

    def __init__(self, grace: float, ttl: float, limit: int) -> None:
        self._grace = grace
        self._ttl = ttl
        self._limit = limit
        self._writing: dict[str, Journal] = {}
        self._ended: dict[str, Journal] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def start(self, plot: Plot) -> Journal:
        """Start the journal of a plot."""
        journal = Journal(secrets.token_urlsafe(16), plot)
        self._writing[journal.id] = journal
        self._watch(journal)
        journal.task = asyncio.create_task(self._write(journal))
        return journal

    def find(self, id: str) -> Journal:
        """Return the journal of a plot, and restart its grace. Raises UnknownPlot."""
        journal = self._writing.get(id) or self._ended.get(id)
        if journal is None:
            raise UnknownPlot.of(id, self._ttl)
        self._watch(journal)
        return journal

    def join(self, journal: Journal) -> None:
        """Count a reader, until `leave`."""
        journal.readers += 1
        self._watch(journal)

    async def leave(self, journal: Journal) -> None:
        """Count a reader no longer."""
        journal.readers -= 1
        self._watch(journal)

    async def cancel(self, journal: Journal) -> None:
        """Stop a plot, and return at its end. Its text so far stays."""
        journal.plot.cancel()
        await journal.feed.until_ended()

    async def close(self) -> None:
        """Wait for the end of all plots, and forget them. Close the engine before."""
        await asyncio.gather(*(journal.task for journal in self._writing.values()))
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
        """Restart the time after which a plot without readers is cancelled."""
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
