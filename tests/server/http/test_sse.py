"""Server-sent events are framed as the standard says."""

import json

import msgspec
import pytest

from server.http.sse import HEARTBEAT, RETRY, event


@pytest.mark.parametrize(
    ("framed", "expected"),
    [
        (event({"text": "a"}), b'data: {"text":"a"}\n\n'),
        (event([], "done"), b"event: done\ndata: []\n\n"),
        (event("a", "token", "7"), b'id: 7\nevent: token\ndata: "a"\n\n'),
        (event("a", id="0"), b'id: 0\ndata: "a"\n\n'),
        (event(msgspec.Raw(b"[DONE]")), b"data: [DONE]\n\n"),
    ],
)
def test_fields_come_in_order_and_an_empty_line_ends_them(framed: bytes, expected: bytes) -> None:
    assert framed == expected


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\n\nb", "ü\u2028\u0085"])
def test_data_stays_on_one_line(text: str) -> None:
    framed = event({"text": text})
    assert framed.count(b"\n") == 2
    assert json.loads(framed.removeprefix(b"data: "))["text"] == text


def test_heartbeat_and_retry_end_no_event() -> None:
    for line in (HEARTBEAT, RETRY):
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
