"""The framing of responses: h11's own, also where h11 does not write it."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.http.framing import Framing


def answered(connection: h11.Connection, request: bytes, headers: list[tuple[str, str]], pieces: list[bytes]) -> bytes:
    """Return the response to a request, in these pieces."""
    connection.receive_data(request + b" / HTTP/1.1\r\nHost: plotify\r\n\r\n")
    while not isinstance(connection.next_event(), h11.EndOfMessage):
        pass
    data = [h11.Data(data=piece) for piece in pieces]
    events = [h11.Response(status_code=200, headers=headers), *data, h11.EndOfMessage()]
    return b"".join(connection.send(event) or b"" for event in events)


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_a_streamed_body_is_framed_as_h11_frames_it(pieces: list[bytes]) -> None:
    said = [answered(kind(h11.SERVER), b"GET", [], pieces) for kind in (Framing, h11.Connection)]
    assert said[0] == said[1]


@pytest.mark.parametrize(("method", "headers"), [(b"HEAD", []), (b"GET", [("Content-Length", "4")])])
def test_only_a_body_of_unknown_length_has_chunks(method: bytes, headers: list[tuple[str, str]]) -> None:
    pieces = [b"", b""] if method == b"HEAD" else [b"on", b"ce"]
    said = [answered(kind(h11.SERVER), method, headers, pieces) for kind in (Framing, h11.Connection)]
    assert said[0] == said[1]


def test_after_a_streamed_body_comes_another_request() -> None:
    connection = Framing(h11.SERVER)
    first = answered(connection, b"GET", [], [b"a", b"b"])
    assert first.endswith(b"\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
    connection.start_next_cycle()
    assert answered(connection, b"GET", [("Content-Length", "2")], [b"cd"]).endswith(b"\r\n\r\ncd")
