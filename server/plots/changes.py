"""Changes of the records of plots. Those that come at the same time take a few statements together.

One statement for each plot would hold the interpreter's lock for a millisecond a plot, and everybody waits for that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, case, delete, insert, or_, select, update
from sqlalchemy.orm import Session

from server.plots.journal import Ending
from server.shelf.models import AttemptRow, RecordRow
from server.shelf.presence import Presence


@dataclass(frozen=True)
class Begun:
    """This server generates a plot for the first time. values: of its record."""

    id: str
    values: dict[str, Any]


@dataclass(frozen=True)
class BegunAgain:
    """This server generates a recorded plot again."""

    id: str


@dataclass(frozen=True)
class Ended:
    """This server generates a plot no more. ending: None if it only ends here.

    unread: it had no reader any more; while another server generates it, that is no end.
    """

    id: str
    ending: Ending | None
    unread: bool


Change = Begun | BegunAgain | Ended

UNTIL = bindparam("until", type_=RecordRow.forget.type)

END_FURTHER = (
    update(RecordRow)
    .where(
        RecordRow.id == bindparam("plot"), or_(RecordRow.tokens.is_(None), RecordRow.tokens < bindparam("tokens_there"))
    )
    .values(
        ended=bindparam("reason"),
        message=bindparam("explanation"),
        tokens=bindparam("tokens_there"),
        digest=bindparam("digest_there"),
        forget=case((RecordRow.forget < UNTIL, RecordRow.forget), else_=UNTIL),
    )
)
"""Records the end of a plot if it is further in the text than the one recorded."""


def make(session: Session, changes: Sequence[Change], presence: Presence, ttl: timedelta) -> set[str]:
    """Make changes, at most one for each plot. Return the ids of unread plots that another server writes.

    ttl: the time after its end at which a record is deleted.
    """
    begun = [change for change in changes if isinstance(change, Begun)]
    again = [change.id for change in changes if isinstance(change, BegunAgain)]
    ended = [change for change in changes if isinstance(change, Ended)]
    connection = session.connection()  # the session's own insertions and updates take twice as long
    if begun:
        connection.execute(insert(RecordRow), [{"id": change.id, **change.values} for change in begun])
    if again:
        mine = select(AttemptRow.plot_id).where(AttemptRow.server == presence.number)
        found = select(RecordRow.id).where(RecordRow.id.in_(again), RecordRow.id.not_in(mine))
        again = list(connection.scalars(found))
    attempts = [{"plot_id": id, "server": presence.number} for id in (*(change.id for change in begun), *again)]
    if attempts:
        connection.execute(insert(AttemptRow), attempts)
    return _end(session, ended, presence, ttl) if ended else set()


def _end(session: Session, changes: Iterable[Ended], presence: Presence, ttl: timedelta) -> set[str]:
    connection = session.connection()
    by_id = {change.id: change for change in changes}
    mine = AttemptRow.server == presence.number
    connection.execute(delete(AttemptRow).where(mine, AttemptRow.plot_id.in_(by_id)))
    unread = [id for id, change in by_id.items() if change.unread]
    elsewhere = set()
    if unread:
        others = select(AttemptRow.plot_id, AttemptRow.server).where(AttemptRow.plot_id.in_(unread))
        elsewhere = {id for id, server in connection.execute(others).all() if presence.alive(session, server)}
    endings = {id: change.ending for id, change in by_id.items() if change.ending and id not in elsewhere}
    record_endings(session, endings, ttl)
    return elsewhere


def record_endings(session: Session, endings: dict[str, Ending], ttl: timedelta) -> None:
    """Record ends further in the text than those recorded."""
    until = datetime.now(UTC) + ttl
    further = [
        {
            "plot": id,
            "reason": ending.reason,
            "explanation": ending.message,
            "tokens_there": ending.place.tokens,
            "digest_there": ending.place.digest,
            "until": until,
        }
        # In the order of ids: two servers that lock records in different orders might wait for each other.
        for id, ending in sorted(endings.items())
    ]
    if further:
        session.connection().execute(END_FURTHER, further)
