"""Errors of the shelf."""

from server.errors import PlotifyError


class ShelfError(PlotifyError):
    """The shelf cannot do what it is asked to."""

    status = 422


class NotOnShelf(ShelfError):
    """This shelf has no such plot, passage or picture. The error keeps the other shelves secret."""

    status = 404


class NotKept(ShelfError):
    """The shelf does not accept a value. field: the argument at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class ShelfFull(ShelfError):
    """The shelf has as many plots as it may have, or the plot as many passages."""

    status = 409


class ShelfUnusable(ShelfError):
    """The database cannot be opened, or fails. The error's text is for operators."""

    status = 503

    @property
    def message(self) -> str:
        return "The shelf cannot be reached just now. Try again in a moment."
