"""The tables. A plot is a tree of passages.

Its text is the path from the blank page, passage 0, to the current passage.
"""

from datetime import datetime
from typing import Any

from advanced_alchemy.base import DefaultBase
from sqlalchemy import JSON, Connection, ForeignKey, ForeignKeyConstraint, Index, LargeBinary, String, Text, event
from sqlalchemy.orm import Mapped, Mapper, mapped_column

from server.shelf.authorship import By, Run
from server.shelf.search import folded


class PlotRow(DefaultBase):
    """A plot. Passages are numbered in order of arrival.

    passages: their number without the blank page. title: the given one, or empty if the first words of the text stand
    in. text: the joined words of the path, kept here to spare lists and searches the walk through the tree. typed_to:
    the place in the text behind the writer's last word, where the current passage takes up what they type next; None if
    it takes up nothing. visited_from: the passage to which Undo goes back, if the writer went from there to the current
    one through the tree. visited: the passage to which Redo goes, if Undo took back the writer's way there. searched:
    the title and the text, folded and on a line each. steering: the fields of the desk besides text and genre, as they
    were typed last. cover: the number of pictures and covers that it had before this one.
    """

    __tablename__ = "plots"
    __table_args__ = (Index("ix_plots_owner_changed", "owner", "changed"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    title: Mapped[str]
    genre: Mapped[str]
    text: Mapped[str] = mapped_column(Text)
    current: Mapped[int]
    passages: Mapped[int]
    typed_to: Mapped[int | None]
    visited_from: Mapped[int | None]
    visited: Mapped[int | None]
    steering: Mapped[dict[str, str]] = mapped_column(JSON)
    searched: Mapped[str] = mapped_column(Text, deferred=True)
    token: Mapped[str | None] = mapped_column(unique=True)
    cover: Mapped[int] = mapped_column(default=0)
    created: Mapped[datetime]
    changed: Mapped[datetime]


@event.listens_for(PlotRow, "before_insert")
@event.listens_for(PlotRow, "before_update")
def _fold(_: Mapper[PlotRow], __: Connection, plot: PlotRow) -> None:
    plot.searched = f"{folded(plot.title)}\n{folded(plot.text)}"


class PassageRow(DefaultBase):
    """A passage. by: the author of its change to the text, "writer" or "model".

    runs: the authors of its characters, if there are several; None if all are `by`'s. An edit inside the text makes a
    passage that repeats the words behind it, and these keep their authors.
    revises: the last passage of the text before an edit in its middle made this one. redo: the passage to which Redo
    goes: the one undone last, or the child visited last.
    """

    __tablename__ = "passages"
    __table_args__ = (
        ForeignKeyConstraint(["plot_id", "parent"], ["passages.plot_id", "passages.number"]),
        Index("ix_passages_plot_id_parent", "plot_id", "parent"),
    )

    plot_id: Mapped[str] = mapped_column(ForeignKey("plots.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    parent: Mapped[int | None]
    text: Mapped[str] = mapped_column(Text)
    by: Mapped[By] = mapped_column(String)
    runs: Mapped[list[Run] | None] = mapped_column(JSON(none_as_null=True))
    revises: Mapped[int | None]
    redo: Mapped[int | None]
    created: Mapped[datetime]


class PictureRow(DefaultBase):
    """The picture of a plot."""

    __tablename__ = "pictures"

    plot_id: Mapped[str] = mapped_column(ForeignKey("plots.id", ondelete="CASCADE"), primary_key=True)
    media_type: Mapped[str]
    content: Mapped[bytes] = mapped_column(LargeBinary)
    prompt: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime]


class RecordRow(DefaultBase):
    """The ingredients of a plot of `/api/plots`, to generate it again.

    client: the name of the client that started it. brief: with its seed. model, bundle: the name in the manifest, and
    the manifest's digest. crashes: how often a server died while it generated the plot. ended: the reason; None before
    the end. tokens, digest: of the text up to there. message: the explanation after a failure. forget: when the row may
    be deleted.
    """

    __tablename__ = "records"

    id: Mapped[str] = mapped_column(primary_key=True)
    client: Mapped[str]
    brief: Mapped[dict[str, Any]] = mapped_column(JSON)
    prompt_tokens: Mapped[int]
    model: Mapped[str]
    bundle: Mapped[str]
    precision: Mapped[str]
    crashes: Mapped[int] = mapped_column(default=0)
    ended: Mapped[str | None]
    tokens: Mapped[int | None]
    digest: Mapped[str | None]
    message: Mapped[str | None]
    forget: Mapped[datetime] = mapped_column(index=True)


class AttemptRow(DefaultBase):
    """A server generates a recorded plot, or did so when it died. server: its number; see `Presence`."""

    __tablename__ = "attempts"

    plot_id: Mapped[str] = mapped_column(ForeignKey("records.id", ondelete="CASCADE"), primary_key=True)
    server: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, index=True)


class SecretRow(DefaultBase):
    """The secret for signing cookies, 256 random bits, in one row from its migration."""

    __tablename__ = "secrets"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
