"""The plots in progress, and those that ended recently."""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from server.errors import PlotifyError
from server.plots.generation import Generation
from server.plots.journal import Ending, Journal
from server.plots.place import FIRST, LastEvent
from server.plots.records import Record, Records, RecordsFail
from server.writing.brief import Brief
from server.writing.plot import Plot

logger = logging.getLogger(__name__)

POLL = 0.4
"""Seconds between looks for plots that have ended on other servers."""


class UnknownPlot(PlotifyError):
    """There is no plot with this id, or it has been forgotten."""

    status = 404

    @classmethod
    def of(cls, id: str, ttl: float, recorded: bool = True) -> "UnknownPlot":
        """Name the plot. ttl: seconds to read a plot after its end. recorded: plots outlive a restart."""
        why = (
            "it never existed, or it was forgotten"
            if recorded
            else ("it never existed, it ended and was forgotten, or the server has restarted")
        )
        return cls(f"There is no plot {id:.40}: {why}. You can read a plot for {ttl:g} seconds after its end.")


class Plots:
    """Keeps the journals of plots for a time. It belongs to one event loop.

    Args:
        generation: generates them.
        grace: seconds until a plot without readers is cancelled.
        ttl: seconds for which a plot can be read after its end.
        limit: journals of ended plots to keep; the oldest go first. The engine's rows and queue limit the plots in
            progress.
    """

    def __init__(self, generation: Generation, grace: float, ttl: float, limit: int) -> None:
        self._generation = generation
        self._records = generation.records
        self._grace = grace
        self._ttl = ttl
        self._limit = limit
        self._writing: dict[str, Journal] = {}
        self._ended: dict[str, Journal] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._polling: asyncio.Task[None] | None = None

    async def start(self, brief: Brief, client: str) -> Journal:
        """Begin a plot and its journal. When it returns, the plot is recorded.

        Raises BriefError, EngineBusy and RecordsFail.
        """
        journal, plot, record = await self._generation.start(brief, client)
        self._hold(journal, self._write(journal, plot, record))
        return journal

    async def find(self, id: str, last: LastEvent = FIRST) -> Journal:
        """Return the journal of a plot, and restart its grace. If it is not here, generate the plot again.

        last: the last event that the client has. Raises UnknownPlot and RecordsFail.
        """
        journal = self._held(id, last)
        if journal is None:
            record = await self._records.find(id) if self._records is not None else None
            if record is None:
                raise self._unknown(id)
            journal = self._held(id, last) or self._again(record, last)  # another reader may have come meanwhile
        self._watch(journal)
        return journal

    def join(self, journal: Journal) -> None:
        """Count a reader, until `leave`."""
        journal.readers += 1
        self._watch(journal)

    def leave(self, journal: Journal) -> None:
        """Count a reader no longer."""
        journal.readers -= 1
        self._watch(journal)

    async def cancel(self, id: str) -> None:
        """Stop a plot here and on all other servers, and return at its end. Its text so far stays.

        Raises UnknownPlot and RecordsFail.
        """
        journal = self._writing.get(id) or self._ended.get(id)
        if journal is not None:
            journal.stop()
            await asyncio.wait([journal.task])
        elif self._records is None or not await self._records.stop(id):
            raise self._unknown(id)

    async def close(self) -> None:
        """Wait for the end of all plots, and forget them. Close the engine before."""
        await asyncio.gather(*(journal.task for journal in self._writing.values()))
        for id in list(self._ended):
            self._forget(id)
        if self._polling is not None:
            self._polling.cancel()
        if self._records is not None:
            with suppress(RecordsFail):  # it is logged
                await self._records.leave()

    def _unknown(self, id: str) -> UnknownPlot:
        return UnknownPlot.of(id, self._ttl, self._records is not None)

    def _held(self, id: str, last: LastEvent) -> Journal | None:
        """Return the journal of a plot; None if it is not here, or was stopped before the last event."""
        journal = self._writing.get(id) or self._ended.get(id)
        if journal is None or journal.ending is None or self._records is None or last.place is None:
            return journal
        return journal if journal.ending.of_itself or last.place.tokens <= journal.place.tokens else None

    def _again(self, record: Record, last: LastEvent) -> Journal:
        """Generate a recorded plot again."""
        known, brief = record.ending, record.brief
        if known and not known.of_itself and last.place and known.place.tokens < last.place.tokens:
            known = Ending(known.reason, last.place, known.message)  # it had gone that far on a server that died
        journal = Journal(record.id, brief.prompt, brief.seed or 0, record.prompt_tokens, known, again=True)
        self._hold(journal, self._write(journal, None, record))
        return journal

    def _hold(self, journal: Journal, writing: Coroutine[Any, Any, None]) -> None:
        if journal.id in self._ended:
            self._forget(journal.id)
        self._writing[journal.id] = journal
        self._watch(journal)
        journal.task = asyncio.create_task(writing)
        if self._records is not None and (self._polling is None or self._polling.done()):
            self._polling = asyncio.create_task(self._poll(self._records))

    async def _write(self, journal: Journal, plot: Plot | None, record: Record | None) -> None:
        """Write a journal to its end. Keep it then, if the plot has ended on all servers."""
        ending, ended = await self._generate(journal, plot, record)
        if ending is not None and ending.of_itself:
            journal.finish(ending)  # the seed decides about it, so readers need not wait for the disk
        if ending is not None and record is not None:
            ended = await self._record_end(journal, ending if ended else None) and ended
        if not journal.feed.ended:
            journal.finish(ending)
        self._stop_timer(journal.id)
        del self._writing[journal.id]
        if ended:
            self._ended[journal.id] = journal
            self._timers[journal.id] = asyncio.get_running_loop().call_later(self._ttl, self._forget, journal.id)
            if len(self._ended) > self._limit:
                self._forget(next(iter(self._ended)))

    async def _generate(self, journal: Journal, plot: Plot | None, record: Record | None) -> tuple[Ending | None, bool]:
        """Return the end of a plot, None if the server stops before, and whether it ends so on all servers."""
        try:
            if record is not None:
                ending = await self._generation.write_recorded(journal, plot, record)
            elif plot is not None:
                ending = await self._generation.write(journal, plot)
            return ending, ending is not None and not (journal.again and journal.left)
        except asyncio.CancelledError:
            if not journal.stopped:
                raise
            return Ending("cancelled", journal.place), not journal.left
        except PlotifyError as error:  # another server may have the model
            return Ending("failed", journal.place, error.message), False
        except Exception:  # the readers wait for an end
            logger.exception("A plot failed")
            return Ending("failed", journal.place), record is None

    async def _record_end(self, journal: Journal, ending: Ending | None) -> bool:
        """Record an end; None if it is only one here. Return False if the plot goes on elsewhere."""
        assert self._records is not None
        try:
            return await self._records.end(journal.id, ending, journal.left)
        except RecordsFail:  # it is logged
            return True

    async def _poll(self, records: Records) -> None:
        """Look for the ends on other servers of the plots that are written here."""
        while self._writing:
            await asyncio.sleep(POLL)
            with suppress(RecordsFail):  # it is logged
                for id, ending in (await records.ended()).items():
                    if id in self._writing:
                        self._writing[id].end_at(ending)

    def _watch(self, journal: Journal) -> None:
        """Restart the time after which a plot without readers is cancelled."""
        if journal.id in self._writing:
            self._stop_timer(journal.id)
            if not journal.readers:
                loop = asyncio.get_running_loop()
                self._timers[journal.id] = loop.call_later(self._grace, journal.leave)

    def _forget(self, id: str) -> None:
        self._stop_timer(id)
        del self._ended[id]

    def _stop_timer(self, id: str) -> None:
        timer = self._timers.pop(id, None)
        if timer is not None:
            timer.cancel()
