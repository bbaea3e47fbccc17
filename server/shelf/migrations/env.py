"""Alembic runs this module to migrate, on a given connection and in its open transaction."""

from alembic import context

from server.shelf.models import PlotRow

config = context.config
context.configure(
    connection=config.attributes["connection"],
    target_metadata=PlotRow.metadata,
    version_table=config.version_table_name,  # type: ignore[attr-defined]  # Advanced Alchemy's configuration has it
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
