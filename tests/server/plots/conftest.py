"""The databases of the shelf, for the records of plots."""

from tests.server.shelf.conftest import anyio_backend, database, shelf

__all__ = ["anyio_backend", "database", "shelf"]
