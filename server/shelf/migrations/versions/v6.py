"""Add the records of plots of the API, and the attempts of servers to generate them."""

import sqlalchemy as sa
from advanced_alchemy.types import DateTimeUTC
from alembic import op

revision = "6"
down_revision = "5"


def upgrade() -> None:
    op.create_table(
        "records",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("brief", sa.JSON(), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("bundle", sa.String(), nullable=False),
        sa.Column("precision", sa.String(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("ended", sa.String()),
        sa.Column("tokens", sa.Integer()),
        sa.Column("digest", sa.String()),
        sa.Column("message", sa.String()),
        sa.Column("forget", DateTimeUTC(), nullable=False),
    )
    op.create_index("ix_records_forget", "records", ["forget"])
    op.create_table(
        "attempts",
        sa.Column("plot_id", sa.String(), sa.ForeignKey("records.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("server", sa.Integer(), primary_key=True, autoincrement=False),
    )
    op.create_index("ix_attempts_server", "attempts", ["server"])


def downgrade() -> None:
    op.drop_table("attempts")
    op.drop_table("records")
