"""The base of all errors that a request can end in."""


class PlotifyError(Exception):
    """An error that is expected to happen. status: the HTTP status of the response to the client."""

    status: int = 500

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response, besides those of every response."""
        return {}

    @property
    def message(self) -> str:
        """A sentence for the client."""
        return str(self)
