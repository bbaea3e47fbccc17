"""The base of all expected errors of requests."""


class PlotifyError(Exception):
    """An expected error of a request. status: the HTTP status of the response."""

    status: int = 500

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response, besides those of every response."""
        return {}

    @property
    def message(self) -> str:
        """A sentence for the client."""
        return str(self)
