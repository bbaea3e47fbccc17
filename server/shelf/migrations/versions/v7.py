"""Add the passages between which the writer of a plot went through its tree."""

import sqlalchemy as sa
from alembic import op

revision = "7"
down_revision = "6"


def upgrade() -> None:
    for name in ("visited_from", "visited"):
        op.add_column("plots", sa.Column(name, sa.Integer()))


def downgrade() -> None:
    for name in ("visited", "visited_from"):
        op.drop_column("plots", name)
