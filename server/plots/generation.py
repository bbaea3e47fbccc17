"""Generates plots: the first time, and again from their records."""

import asyncio
import secrets
from contextlib import nullcontext, suppress

from msgspec.structs import replace

from server.engine import AnyEngine, ClientBusy, EngineBusy, EngineUnavailable
from server.errors import PlotifyError
from server.plots.journal import Ending, Journal
from server.plots.records import Record, Records, RecordsFail
from server.writing.brief import Brief
from server.writing.plot import Plot, begin

PAUSE = 0.1
"""Seconds between attempts to begin a plot again while the engine has no room."""

PATIENCE = 30.0
"""Seconds to wait for an engine that cannot load its model again."""

TRIALS = 3
"""Times that a plot is generated again after a crash that it may have caused."""


class OtherModel(PlotifyError):
    """This server has another model than the one that began the plot."""

    status = 409

    def __init__(self, this: str, other: str) -> None:
        super().__init__(
            f"The plot cannot go on: it was begun with another model ({other}) than this server has ({this}). "
            "Start the plot again."
        )


class Generation:
    """Generates plots with an engine. It belongs to one event loop. records: None to keep none."""

    def __init__(self, engine: AnyEngine, records: Records | None = None) -> None:
        self.records = records
        self._engine = engine
        self._turn = asyncio.Lock()  # of the plot that waits for room
        self._alone = asyncio.Lock()  # of the plot that may have caused a crash

    async def start(self, brief: Brief, client: str) -> tuple[Journal, Plot, Record | None]:
        """Begin a plot, and record it.

        Raises BriefError, EngineBusy and RecordsFail.
        """
        [plot] = begin(self._engine, brief, brief.length.most, client)
        journal = Journal(secrets.token_urlsafe(16), plot.opening, plot.seed, plot.prompt_tokens)
        if self.records is None:
            return journal, plot, None
        bundle, precision = self._engine.bundle, self._engine.precision
        seeded = brief.drawn(plot.seed, bundle.manifest)
        record = Record(journal.id, client, seeded, plot.prompt_tokens, bundle.manifest.name, bundle.digest, precision)
        try:
            await self.records.add(record)
        except BaseException:
            plot.cancel()
            raise
        return journal, plot, record

    async def write(self, journal: Journal, plot: Plot) -> Ending:
        """Write a plot without a record, and return its end."""
        return await journal.write(plot) or Ending("failed", journal.place, plot.failure)

    async def write_recorded(self, journal: Journal, plot: Plot | None, record: Record) -> Ending | None:
        """Write a plot, and return its end; None if the server stops before.

        plot: None if it is to begin again. After a crash, it and the others that may have caused the crash are
        generated one at a time; after `TRIALS` more crashes it ends with an error. Raises OtherModel, TextDiffers and
        EngineUnavailable.
        """
        failure = record.ending if record.ending is not None and record.ending.reason == "failed" else None
        crashes = record.crashes
        if plot is None:
            if record.ending is not None and record.ending.place.tokens == 0:
                return record.ending
            self._check(record)
        while crashes <= TRIALS:
            async with self._alone if crashes else nullcontext():
                try:
                    plot = plot or await self._again(journal, record)
                except EngineUnavailable:
                    if failure is None:
                        raise
                    return failure
                if plot is None:
                    return Ending("cancelled", journal.place) if journal.stopped else None
                ending = await journal.write(plot)
            if ending is None or ending.reason != "failed":
                return ending
            # The first reason: a later one may only be that the model cannot be loaded again.
            failure = replace(ending, message=failure.message) if failure else ending
            plot, crashes = None, await self._crashed(record)
        message = f"The plot broke off: the server has died {crashes} times while it was written."
        return failure or Ending("failed", journal.place, message)

    def _check(self, record: Record) -> None:
        bundle, precision = self._engine.bundle, self._engine.precision
        if (record.bundle, record.precision) != (bundle.digest, precision):
            raise OtherModel(f"{bundle.manifest.name} in {precision}", f"{record.model} in {record.precision}")

    async def _again(self, journal: Journal, record: Record) -> Plot | None:
        """Begin a plot again when its turn comes. Return None if it or the server stops before.

        Raises EngineUnavailable if the engine cannot load its model again.
        """
        recorded = record.ending is not None
        while True:
            async with self._turn:
                if not recorded and self.records is not None:
                    await self.records.attempt(record.id)  # on the disk before the engine sees it
                    recorded = True
                with suppress(ClientBusy):  # it waits for another plot of its client, so others go first
                    return await self._begin(journal, record)
            await asyncio.sleep(PAUSE)

    async def _begin(self, journal: Journal, record: Record) -> Plot | None:
        """Begin a plot once the engine has room. Return None if it or the server stops before.

        Raises ClientBusy, and EngineUnavailable if the engine cannot load its model again.
        """
        waited = 0.0
        while not (journal.stopped or self._engine.state in ("draining", "closed")):
            try:
                [plot] = begin(self._engine, record.brief, record.brief.length.most, record.client)
                return plot
            except ClientBusy:
                raise
            except EngineUnavailable:
                if waited > PATIENCE:
                    raise
                waited += PAUSE
            except EngineBusy:
                pass
            await asyncio.sleep(PAUSE)
        return None

    async def _crashed(self, record: Record) -> int:
        """Count a failure of the engine during a plot, and return the number of all failures."""
        if self.records is None:
            return TRIALS + 1
        try:
            return await self.records.crashed(record.id)
        except RecordsFail:
            return TRIALS + 1
