"""Migrations of the tables by Alembic: a module of `versions` for each change."""
