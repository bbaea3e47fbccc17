"""Add the form of titles and texts to search, and the mark of a passage that still grows."""

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"


def upgrade() -> None:
    op.add_column("plots", sa.Column("growing", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("plots", sa.Column("searched", sa.Text(), nullable=False, server_default=""))
    plots = sa.table("plots", *map(sa.column, ("id", "title", "text", "searched")))
    connection = op.get_bind()
    for id in connection.scalars(sa.select(plots.c.id)).all():
        title, text = connection.execute(sa.select(plots.c.title, plots.c.text).where(plots.c.id == id)).one()
        connection.execute(plots.update().where(plots.c.id == id).values(searched=f"{_folded(title)}\n{_folded(text)}"))


def downgrade() -> None:
    op.drop_column("plots", "searched")
    op.drop_column("plots", "growing")


def _folded(text: str) -> str:
    alike = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(alike.split())
