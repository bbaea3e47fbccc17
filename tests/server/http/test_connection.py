"""Clients with slow, large, broken or very many requests, over a real socket."""

import json
import logging
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol

from server.bundle import Bundle
from server.http import connection as edge
from server.http import request
from server.http.connection import MAX_HEAD, MAX_PARSED, REFUSALS, allow_connections
from server.settings import Settings, SettingsError
from tests.server.http.raw import answer, connected, rest
from tests.server.live import LiveServer, serving

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: plotify\r\n\r\n"


@pytest.fixture(scope="module")
def patient(bundle: Bundle) -> Iterator[str]:
    """The address of a server with a longer patience than any test."""
    with serving(bundle, Settings(patience=600)) as server:
        yield server.address


@pytest.fixture(scope="module")
def hasty(bundle: Bundle) -> Iterator[LiveServer]:
    """A server with a patience of one second."""
    with serving(bundle, Settings(patience=1)) as server:
        yield server


def post(path: str, kind: str, body: bytes, length: int) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: plotify\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + body


def test_a_head_that_does_not_end_is_told_and_ended(hasty: LiveServer) -> None:
    with connected(hasty.address) as client:
        client.sendall(HEALTH[:30])
        said = rest(client)
    assert said.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"connection: close\r\n" in said.lower()
    assert said.endswith(f"\r\n\r\n{REFUSALS[408]}\n".encode())


def test_a_head_that_trickles_in_gains_no_time_by_it(hasty: LiveServer) -> None:
    with connected(hasty.address) as client:
        client.sendall(HEALTH[:-2])
        began = time.monotonic()
        client.settimeout(0.1)
        said = b""
        while not said:
            assert time.monotonic() - began < 30
            client.sendall(b"X-A: b\r\n")
            try:
                said = client.recv(65536)
            except TimeoutError:
                continue
    assert said.startswith(b"HTTP/1.1 408 ")


def test_a_second_head_on_a_connection_has_no_more_time_than_the_first(hasty: LiveServer) -> None:
    with connected(hasty.address) as client:
        client.sendall(HEALTH)
        assert answer(client).startswith(b"HTTP/1.1 200 ")
        client.sendall(HEALTH[:30])
        assert rest(client).startswith(b"HTTP/1.1 408 ")


def test_a_connection_that_says_nothing_is_told_nothing(hasty: LiveServer) -> None:
    with connected(hasty.address) as client:
        assert rest(client) == b""


def test_a_stream_may_be_longer_than_the_patience(slow_decoding: float, bundle: Bundle) -> None:
    with serving(bundle, Settings(patience=1)) as server:
        body = {"model": "plotify-tiny", "prompt": "A fox", "max_tokens": 40, "stream": True, "ignore_eos": True}
        began = time.monotonic()
        said = httpx.post(f"{server.address}/v1/completions", json=body, timeout=60).text
    assert time.monotonic() - began > 40 * slow_decoding > 1
    assert said.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("path", "kind", "said"),
    [
        ("/v1/completions", "application/json", '"type":"invalid_request_error"'),
        ("/api/plots", "application/json", '{"message":"The request took too long to arrive; send it again."}'),
        ("/api/plots", "application/x-www-form-urlencoded", '{"message":"The request took too long'),
        ("/desk", "application/x-www-form-urlencoded", "The request took too long to arrive; send it again."),
    ],
)
def test_a_body_that_does_not_end_is_told_in_the_form_of_its_address(
    hasty: LiveServer, path: str, kind: str, said: str
) -> None:
    with connected(hasty.address) as client:
        client.sendall(post(path, kind, b"{", 100))
        head, _, body = rest(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in head.lower()
    assert said in body.decode()
    assert hasty.engine.running == hasty.engine.queued == 0


def test_a_body_that_trickles_in_after_its_answer_does_not_keep_the_connection(patient: str) -> None:
    with connected(patient) as client:
        client.sendall(post("/nope", "text/plain", b"x", 10**6))
        client.settimeout(0.2)
        said, ended = b"", False
        deadline = time.monotonic() + 60
        while not ended:
            assert time.monotonic() < deadline, "still connected"
            try:
                client.sendall(b"x")
                piece = client.recv(65536)
                said, ended = said + piece, not piece
            except TimeoutError:
                continue
            except ConnectionError:
                ended = True
    assert said.startswith(b"HTTP/1.1 404 ")


def test_a_large_head_is_read_and_a_larger_one_refused_however_it_comes(patient: str) -> None:
    def head(size: int) -> bytes:
        start = b"GET /healthz HTTP/1.1\r\nHost: plotify\r\nX-Long: "
        return start + b"x" * (size - len(start) - 4) + b"\r\n\r\n"

    with connected(patient) as client:
        for _ in range(2):
            client.sendall(head(MAX_HEAD))
            assert answer(client).startswith(b"HTTP/1.1 200 ")
    for size in (2 * MAX_HEAD + 1, 10 * MAX_HEAD):
        with connected(patient) as client:
            client.sendall(head(size))
            assert client.recv(100).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),  # TLS
        (b"\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: b\r\n\r\n", 400),
        (b"POST /desk HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /desk HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /desk HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
    ],
)
def test_a_request_that_is_not_http_is_answered_and_ended(patient: str, said: bytes, status: int) -> None:
    with connected(patient) as client:
        client.sendall(said)
        told = rest(client).decode()
    assert told.startswith(f"HTTP/1.1 {status} ")
    assert told.endswith(f"\r\n\r\n{REFUSALS[status]}\n")
    assert "date: " in told


@pytest.mark.parametrize("path", ["/v1/completions", "/api/plots", "/nope"])
def test_a_body_that_breaks_its_coding_is_no_failure_of_the_server(
    patient: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Before the response, or after it."""
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    with caplog.at_level(logging.ERROR), connected(patient) as client:
        client.sendall(head.encode())
        if path == "/nope":
            assert client.recv(100).startswith(b"HTTP/1.1 404 ")
        client.sendall(b"1\r\n{\r\nno number\r\n")
        told = rest(client)
    assert path == "/nope" or told.startswith(b"HTTP/1.1 400 ")
    assert httpx.get(f"{patient}/healthz").status_code == 200
    assert not caplog.records


def test_an_upgrade_is_answered_without_one(patient: str) -> None:
    asked = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "a"}
    assert httpx.get(f"{patient}/healthz", headers=asked).status_code == 200


def test_a_crowd_is_told_to_come_back_and_the_server_is_known_to_be_well(bundle: Bundle) -> None:
    with serving(bundle, Settings(connections=2, patience=600)) as server:
        inside = [connected(server.address) for _ in range(2)]
        for client in inside:
            client.sendall(HEALTH)
            assert answer(client).startswith(b"HTTP/1.1 200 ")
        body = {"model": "plotify-tiny", "prompt": "A fox"}
        refused = [
            httpx.post(f"{server.address}/v1/completions", json=body),
            httpx.post(f"{server.address}/api/plots", json=body),
            httpx.get(f"{server.address}/"),
        ]
        for said in refused:
            assert said.status_code == 503
            assert said.headers["retry-after"] == "5"
            assert said.headers["connection"] == "close"
        assert json.loads(refused[0].text)["error"]["code"] == "server_busy"
        assert refused[1].json()["message"] == "Too many clients are connected; try again in 5 seconds."
        assert "Too many clients are connected; try again in 5 seconds." in refused[2].text
        assert httpx.get(f"{server.address}/healthz").status_code == 200
        for client in inside:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert answer(client).startswith(b"HTTP/1.1 200 ")
        inside[0].close()
        deadline = time.monotonic() + 30
        while httpx.get(f"{server.address}/").status_code != 200:
            assert time.monotonic() < deadline, "still over the limit"
        inside[1].close()


def test_more_than_a_crowd_is_ended_unheard(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "MAX_REFUSED", 1)
    with (
        serving(bundle, Settings(connections=1, patience=600)) as server,
        connected(server.address),
        connected(server.address) as second,
        connected(server.address) as third,
    ):
        with suppress(ConnectionResetError):
            assert rest(third) == b""
        second.sendall(HEALTH)
        assert answer(second).startswith(b"HTTP/1.1 200 ")


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux only")
def test_a_client_that_takes_in_nothing_loses_its_connection(hasty: LiveServer) -> None:
    """The client requests more pages than the kernel buffers, and reads none of them."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", urlsplit(hasty.address).port))
        client.sendall(b"GET /docs HTTP/1.1\r\nHost: a\r\n\r\n" * 200)
        here = client.getsockname()
        client.recv(1)  # the answer has begun
        deadline = time.monotonic() + 60
        while any(held.raddr == here for held in psutil.Process().net_connections("tcp")):
            assert time.monotonic() < deadline, "still connected"
            time.sleep(0.05)


def test_files_are_allowed_for_as_many_connections_as_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.append(limit))
    allow_connections(100)
    assert limits == [(1024, 4096)]
    allow_connections(2048)
    assert limits[1:] == [(2048 + 64 + 128, 4096)]
    with pytest.raises(SettingsError, match="CONNECTIONS is 5000, which needs 5192 open files, and the limit is 4096"):
        allow_connections(5000)
    assert len(limits) == 2


def test_a_body_in_tiny_chunks_is_parsed_in_small_parts_and_any_other_in_large_ones(
    patient: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parsing takes time for each chunk, and nobody else is served meanwhile."""
    parsed: list[int] = []
    receive = H11Protocol.data_received

    def received(connection: H11Protocol, data: bytes) -> None:
        parsed.append(len(data))
        receive(connection, data)

    monkeypatch.setattr(H11Protocol, "data_received", received)
    head = b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    with connected(patient) as client:
        client.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 5000 + b"0\r\n\r\n")
        assert answer(client).startswith(b"HTTP/1.1 400 ")
    assert sum(parsed) > 5000 * 6
    assert max(parsed) <= MAX_PARSED
    parsed.clear()
    with connected(patient) as client:
        client.sendall(post("/v1/completions", "application/json", b"a" * 200_000, 200_000))
        assert answer(client).startswith(b"HTTP/1.1 400 ")
    assert max(parsed) > MAX_PARSED


def test_a_client_that_sends_nothing_more_still_gets_its_answer(patient: str) -> None:
    with connected(patient) as client:
        client.sendall(HEALTH)
        client.shutdown(socket.SHUT_WR)
        told = rest(client)
    assert told.startswith(b"HTTP/1.1 200 ")
    assert b'"status":"ok"' in told


@pytest.mark.parametrize("sent", [b"", HEALTH[:30], post("/v1/completions", "application/json", b"{", 100)])
def test_one_whose_request_has_no_end_gets_none(patient: str, sent: bytes) -> None:
    with connected(patient) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        assert rest(client) == b""


@pytest.mark.parametrize(
    ("target", "status"),
    [("http://plotify:8000/healthz", 200), ("HTTP://plotify/healthz", 200), ("http://evil.example/healthz", 403)],
)
def test_a_whole_address_in_the_first_line_has_the_name_that_counts(patient: str, target: str, status: int) -> None:
    with connected(patient) as client:
        client.sendall(
            f"GET {target} HTTP/1.1\r\nHost: {'evil.example' if status == 200 else 'plotify'}\r\n\r\n".encode()
        )
        assert answer(client).startswith(f"HTTP/1.1 {status} ".encode())


def test_large_bodies_without_an_end_are_limited_together(patient: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "MAX_ARRIVING", 30_000)
    large, small = b" " * 25_000, b" " * 10_000

    def asked(body: bytes) -> httpx.Response:
        return httpx.post(f"{patient}/v1/completions", content=body, headers={"Content-Type": "application/json"})

    def until(status: int) -> httpx.Response:
        deadline = time.monotonic() + 60
        while (said := asked(large)).status_code != status:
            assert time.monotonic() < deadline
        return said

    with connected(patient) as client:
        client.sendall(post("/v1/completions", "application/json", large, 100_000))
        said = until(503)
        assert "too many large requests are arriving" in said.text.lower()
        assert said.headers["retry-after"] == "5"
        assert asked(small).status_code == 400  # not JSON
    until(400)


def test_a_connection_is_kept_between_requests_for_as_long_as_is_set(bundle: Bundle) -> None:
    with serving(bundle, Settings(keep_alive=1, patience=600)) as server, connected(server.address) as client:
        client.sendall(HEALTH)
        assert answer(client).startswith(b"HTTP/1.1 200 ")
        assert client.recv(1) == b""
