"""How the tables became what they are: one module of `versions` for each change, by Alembic."""
