"""The shelf keeps the plots of writers, with everything tried in them, in a database.

No routes are here; each error carries its HTTP status.
"""

from server.shelf.database import DatabaseHealth
from server.shelf.errors import NotKept, NotOnShelf, ShelfError, ShelfFull, ShelfUnusable
from server.shelf.listing import SORTS, Sort
from server.shelf.outline import Gap, Outline, Strand, Twig
from server.shelf.shelf import Shelf
from server.shelf.volume import Entry, Passage, Picture, Volume, Written

__all__ = [
    "SORTS",
    "DatabaseHealth",
    "Entry",
    "Gap",
    "NotKept",
    "NotOnShelf",
    "Outline",
    "Passage",
    "Picture",
    "Shelf",
    "ShelfError",
    "ShelfFull",
    "ShelfUnusable",
    "Sort",
    "Strand",
    "Twig",
    "Volume",
    "Written",
]
