"""What can be wrong with a shelf."""


class ShelfError(Exception):
    """Something that a shelf cannot do; the message says what, and what to do. told: the same for writers."""

    @property
    def told(self) -> str:
        return str(self)


class NotOnShelf(ShelfError):
    """There is no such plot, passage or picture, or it is on another's shelf: nobody is told which."""


class NotKept(ShelfError):
    """Something that a shelf does not take. field: the argument at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class ShelfFull(ShelfError):
    """There are as many plots on the shelf, or passages in the plot, as there may be."""


class ShelfUnusable(ShelfError):
    """The database cannot be opened, or fails; the message is for operators."""

    @property
    def told(self) -> str:
        return "The shelf cannot be reached just now. Try again in a moment."
