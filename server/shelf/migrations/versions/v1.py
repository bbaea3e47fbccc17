"""Add plots, their passages and their pictures."""

import sqlalchemy as sa
from advanced_alchemy.types import DateTimeUTC
from alembic import op

revision = "1"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "plots",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("genre", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("current", sa.Integer(), nullable=False),
        sa.Column("passages", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(), unique=True),
        sa.Column("created", DateTimeUTC(), nullable=False),
        sa.Column("changed", DateTimeUTC(), nullable=False),
    )
    op.create_index("ix_plots_owner_changed", "plots", ["owner", "changed"])
    op.create_table(
        "passages",
        sa.Column("plot_id", sa.String(), sa.ForeignKey("plots.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("parent", sa.Integer()),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("revises", sa.Integer()),
        sa.Column("redo", sa.Integer()),
        sa.Column("created", DateTimeUTC(), nullable=False),
        sa.ForeignKeyConstraint(["plot_id", "parent"], ["passages.plot_id", "passages.number"]),
    )
    op.create_index("ix_passages_plot_id_parent", "passages", ["plot_id", "parent"])
    op.create_table(
        "pictures",
        sa.Column("plot_id", sa.String(), sa.ForeignKey("plots.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("created", DateTimeUTC(), nullable=False),
    )


def downgrade() -> None:
    for table in ("pictures", "passages", "plots"):
        op.drop_table(table)
