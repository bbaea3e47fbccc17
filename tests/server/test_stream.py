"""Server-sent events, over a real socket."""

import itertools
import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from server.bundle import Bundle
from tests.server.live import LiveServer, serving, wait_until_idle

LONG = {"prompt": "A fox", "length": "paragraph", "wildness": "5"}


def events(address: str, fields: dict[str, str], method: str = "GET") -> list[ServerSentEvent]:
    carried = {"params": fields} if method == "GET" else {"data": fields}
    with httpx.Client(timeout=30) as client, connect_sse(client, method, f"{address}/stream", **carried) as source:
        assert source.response.status_code == 200
        assert source.response.headers["cache-control"] == "no-store"
        assert source.response.headers["x-accel-buffering"] == "no"
        return list(source.iter_sse())


def raw_request(address: str, request: bytes) -> socket.socket:
    parts = urlsplit(address)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=30)
    connection.sendall(request)
    return connection


def test_tokens_then_done_the_same_for_the_same_seed(bundle: Bundle) -> None:
    fields = {"prompt": "A fox", "length": "line", "seed": "5", "genre": "Horror"}
    with serving(bundle) as live:
        first, second = events(live.address, fields), events(live.address, fields, "POST")
    assert [(event.event, event.data) for event in first] == [(event.event, event.data) for event in second]
    assert {event.event for event in first[:-1]} == {"token"}
    assert first[-1].event == "done"
    end = first[-1].json()
    assert end["seed"] == 5
    assert end["finish_reason"] in ("stop", "length")
    assert end["tokens"] >= len(first) - 1 > 0
    assert all(event.json()["text"] for event in first[:-1])


def test_tokens_come_one_by_one(slow_live: LiveServer, slow_decoding: float) -> None:
    arrivals = []
    with (
        httpx.Client() as client,
        connect_sse(client, "GET", f"{slow_live.address}/stream", params=LONG | {"length": "line"}) as source,
    ):
        for event in source.iter_sse():
            arrivals.append((event.event, time.monotonic()))
    assert len(arrivals) > 5
    spans = [later - earlier for (_, earlier), (_, later) in itertools.pairwise(arrivals)]
    assert sorted(spans)[len(spans) // 2] > slow_decoding / 2


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /stream?prompt=A+fox&length=paragraph HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /plot HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: 29\r\n\r\nprompt=A+fox&length=paragraph",
    ],
    ids=["stream", "page"],
)
@pytest.mark.parametrize("abruptly", [False, True], ids=["closed", "reset"])
def test_leaving_stops_the_work(slower_live: LiveServer, request_bytes: bytes, abruptly: bool) -> None:
    connection = raw_request(slower_live.address, request_bytes)
    assert b"200 OK" in connection.recv(4096)
    connection.recv(4096)
    assert slower_live.engine.running == 1
    if abruptly:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()
    steps = slower_live.engine.steps
    wait_until_idle(slower_live.engine)
    assert slower_live.engine.steps <= steps + 2, "the step under way, and one more while the news travels"


def test_leaving_the_queue_and_leaving_at_once_leave_nothing_behind(slow_live: LiveServer) -> None:
    request = b"GET /stream?prompt=A+fox&length=paragraph HTTP/1.1\r\nHost: x\r\n\r\n"
    connections = [raw_request(slow_live.address, request) for _ in range(5)]
    deadline = time.monotonic() + 20
    while slow_live.engine.waiting < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for connection in connections:
        connection.close()
    wait_until_idle(slow_live.engine)
    raw_request(slow_live.address, request).close()
    time.sleep(0.1)
    wait_until_idle(slow_live.engine)


def test_a_reader_that_does_not_read_keeps_nobody_waiting(slow_live: LiveServer) -> None:
    idle = raw_request(slow_live.address, b"GET /stream?prompt=A+fox&length=line HTTP/1.1\r\nHost: x\r\n\r\n")
    assert httpx.get(f"{slow_live.address}/healthz").json()["status"] == "ok"
    assert events(slow_live.address, {"prompt": "A hen", "length": "line"})[-1].event == "done"
    idle.close()


def test_a_flood_is_turned_away_and_survived(slow_live: LiveServer) -> None:
    request = b"GET /stream?prompt=A+fox&length=paragraph HTTP/1.1\r\nHost: x\r\n\r\n"
    connections = [raw_request(slow_live.address, request) for _ in range(40)]
    statuses = [connection.recv(12).split()[1] for connection in connections]
    assert set(statuses) == {b"200", b"503"}
    assert 6 <= statuses.count(b"200") <= 8
    for connection in connections:
        connection.close()
    wait_until_idle(slow_live.engine)
    assert events(slow_live.address, {"prompt": "A fox", "length": "line"})[-1].event == "done"


def test_a_form_that_cannot_be_worked_from_is_answered_with_json(slow_live: LiveServer) -> None:
    answer = httpx.get(f"{slow_live.address}/stream", params={"prompt": " ", "wildness": "9"})
    assert answer.status_code == 422
    assert set(answer.json()["problems"]) == {"prompt", "wildness"}
    assert answer.json()["message"] == " ".join(answer.json()["problems"].values())
    answer = httpx.get(f"{slow_live.address}/stream", params={"prompt": "a long way " * 500})
    assert answer.status_code == 422
    assert "Too long" in answer.json()["problems"]["prompt"]
