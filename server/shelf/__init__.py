"""The shelf keeps the plots of writers, with everything tried in them, in a database.

No routes are here; each error carries its HTTP status.
"""

from server.shelf.errors import NotKept, NotOnShelf, ShelfError, ShelfFull, ShelfUnusable
from server.shelf.shelf import Shelf
from server.shelf.volume import Entry, Passage, Picture, Step, Volume, Written

__all__ = [
    "Entry",
    "NotKept",
    "NotOnShelf",
    "Passage",
    "Picture",
    "Shelf",
    "ShelfError",
    "ShelfFull",
    "ShelfUnusable",
    "Step",
    "Volume",
    "Written",
]
