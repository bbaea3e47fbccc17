"""Lists of the plots on a shelf: sorted, searched, and in parts."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

from sqlalchemy import Select, and_, case, func, not_, select
from sqlalchemy.orm import Session

from server.shelf import rows
from server.shelf.models import PlotRow
from server.shelf.search import folded
from server.shelf.volume import OPENING, Entry, heading

Sort = Literal["changed", "begun", "title"]
"""The order of a list: changed last first, begun last first, or by title."""

SORTS: tuple[Sort, ...] = get_args(Sort)

MOST = 100
"""Plots in a part of a list."""

PART = func.substr(PlotRow.text, 1, OPENING)
COLUMNS = (
    PlotRow.id, PlotRow.title, PlotRow.genre, PART, PlotRow.token, PlotRow.cover, PlotRow.created, PlotRow.changed
)  # fmt: skip


def ids(session: Session, owner: str, search: str = "", sort: Sort = "changed") -> list[str]:
    """Return the ids of a writer's plots in which something was written or taken.

    search: words in the title or the text, in either case.
    """
    listed = _sorted(select(PlotRow.id).where(PlotRow.owner == owner, not_(and_(*rows.UNTOUCHED))), sort)
    if sort == "title":
        # Without a title, the first words stand in. The text of others need not be read.
        opening = case((PlotRow.title == "", PART), else_="")
        titles = session.execute(listed.add_columns(PlotRow.title, opening)).all()
        listed_ids = [id for id, title, text in sorted(titles, key=lambda row: folded(heading(row[1], row[2])))]
    else:
        listed_ids = list(session.scalars(listed))
    if wanted := folded(search):
        # Python's search takes time in proportion to the text. LIKE takes text times pattern.
        texts = select(PlotRow.id, PlotRow.searched).where(PlotRow.owner == owner).execution_options(yield_per=20)
        having = {id for id, text in session.execute(texts) if wanted in text}
        listed_ids = [id for id in listed_ids if id in having]
    return listed_ids


def entries(session: Session, ids: Sequence[str]) -> list[Entry]:
    """Return the entries of these plots, in the same order, at most `MOST`."""
    found = session.execute(select(*COLUMNS).where(PlotRow.id.in_(ids[:MOST])))
    by_id = {row.id: _entry(*row) for row in found}
    return [by_id[id] for id in ids[:MOST]]


def entry(plot: PlotRow) -> Entry:
    """Return the entry of a plot."""
    opening = plot.text[:OPENING]
    return _entry(plot.id, plot.title, plot.genre, opening, plot.token, plot.cover, plot.created, plot.changed)


def _entry(id: str, title: str, genre: str, opening: str, *others: Any) -> Entry:
    return Entry(id, heading(title, opening), genre, opening, *others)


def _sorted(listed: Select[str], sort: Sort) -> Select[str]:
    return listed.order_by((PlotRow.created if sort == "begun" else PlotRow.changed).desc(), PlotRow.id)
