"""Kept texts survive killed processes."""

import multiprocessing
import random
import time
from collections import defaultdict
from pathlib import Path
from threading import Thread

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from server.shelf.database import opened
from server.shelf.models import PassageRow, PlotRow
from tests.server.shelf.keeper import keep_plots

LIVES = 50


class Life:
    """A process with a shelf. kept: the reported texts, as (id of the plot, text)."""

    def __init__(self, database: str, owner: str) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.server.shelf.keeper"])
        self.kept: list[tuple[str, str]] = []
        self._said, says = context.Pipe(duplex=False)
        self._process = context.Process(target=keep_plots, args=(database, owner, says))
        self._process.start()
        says.close()
        self._listener = Thread(target=self._listen)
        self._listener.start()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._listener.join()

    def _listen(self) -> None:
        try:
            while True:
                self.kept.append(self._said.recv())
        except (EOFError, OSError):  # it was killed between two messages, or within one
            self._said.close()


def test_nothing_is_lost_that_was_acknowledged(tmp_path: Path) -> None:
    """Kill fifty processes at random moments, while another one writes the same file."""
    database = str(tmp_path / "shelf.sqlite")
    lives: list[Life] = []
    try:
        for number in range(LIVES):
            lives.append(Life(database, f"owner {number}"))
            # One in five dies while it opens the shelf or makes its tables, the others in the midst of keeping.
            begun = time.monotonic()
            while number % 5 and not lives[-1].kept and time.monotonic() < begun + 30:
                time.sleep(0.01)
            time.sleep(random.uniform(0, 0.1))
            if number:
                lives[-2].kill()
    finally:
        for life in lives:
            life.kill()
    kept = {acknowledged for life in lives for acknowledged in life.kept}
    assert len(kept) > LIVES
    assert kept - whole_tree(database) == set()


def whole_tree(database: str) -> set[tuple[str, str]]:
    """Check the database, and return every text of every plot so far, as (id of the plot, text)."""
    texts: dict[tuple[str, int | None], str] = defaultdict(str)
    engine = opened(database)
    with Session(engine) as session:
        assert session.scalar(text("PRAGMA integrity_check")) == "ok"
        for row in session.scalars(select(PassageRow).order_by(PassageRow.plot_id, PassageRow.number)):
            texts[row.plot_id, row.number] = texts[row.plot_id, row.parent] + row.text
        for plot in session.scalars(select(PlotRow)):
            assert plot.text == texts[plot.id, plot.current]
    engine.dispose()
    return {(id, text) for (id, _), text in texts.items()}
