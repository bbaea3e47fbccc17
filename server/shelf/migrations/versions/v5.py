"""Add the number of a plot's cover."""

import sqlalchemy as sa
from alembic import op

revision = "5"
down_revision = "4"


def upgrade() -> None:
    op.add_column("plots", sa.Column("cover", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("plots", "cover")
