"""Add the authors of mixed passages, the steering of plots, and the place where a passage grows."""

import sqlalchemy as sa
from alembic import op

revision = "4"
down_revision = "3"

PLOTS = sa.table("plots", *map(sa.column, ("text", "growing", "typed_to")))


def upgrade() -> None:
    op.add_column("passages", sa.Column("runs", sa.JSON()))
    op.add_column("plots", sa.Column("steering", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("plots", sa.Column("typed_to", sa.Integer()))
    growing = PLOTS.update().where(PLOTS.c.growing == sa.true())
    op.get_bind().execute(growing.values(typed_to=sa.func.length(PLOTS.c.text)))
    op.drop_column("plots", "growing")


def downgrade() -> None:
    op.add_column("plots", sa.Column("growing", sa.Boolean(), nullable=False, server_default=sa.false()))
    at_end = PLOTS.update().where(PLOTS.c.typed_to == sa.func.length(PLOTS.c.text))
    op.get_bind().execute(at_end.values(growing=sa.true()))
    for table, name in (("plots", "typed_to"), ("plots", "steering"), ("passages", "runs")):
        op.drop_column(table, name)
