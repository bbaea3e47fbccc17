"""The server's bytes, and the end of the work when the client leaves."""

import json
import re
import socket
import time
from typing import Any

import pytest

from server.bundle import Bundle
from tests.server.completions.conftest import MODEL, connected
from tests.server.live import LiveServer, serving, wait_until_idle
from tests.server.plots.test_events import raw_request
from tests.server.reading import PROMPT

LONG: dict[str, Any] = {"model": MODEL, "prompt": PROMPT, "max_tokens": 100, "ignore_eos": True}


def posted(live: LiveServer, fields: dict[str, Any]) -> socket.socket:
    body = json.dumps(fields).encode()
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return raw_request(live.address, head + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def wait_until_running(live: LiveServer, count: int) -> None:
    deadline = time.monotonic() + 20
    while live.engine.running < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_bytes_of_a_stream(live: LiveServer) -> None:
    connection = posted(
        live,
        {"model": MODEL, "prompt": PROMPT, "max_tokens": 2, "temperature": 0, "stream": True, "ignore_eos": True}
        | {"stream_options": {"include_usage": True}},
    )
    head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    connection.close()
    names = {line.split(b":")[0].lower(): line.split(b": ", 1)[1] for line in head.split(b"\r\n")[1:]}
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert names[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert names[b"cache-control"] == b"no-store"
    assert names[b"x-accel-buffering"] == b"no"
    stream = b""
    while body:  # chunked transfer coding
        size, _, body = body.partition(b"\r\n")
        stream, body = stream + body[: int(size, 16)], body[int(size, 16) + 2 :]
    common = rb'data: \{"id":"cmpl-[0-9a-f]{32}","object":"text_completion","created":\d+,"model":"plotify-tiny",'
    common += rb'"choices":\['
    choice = rb'\{"text":"[^"]*","index":0,"logprobs":null,"finish_reason":(?:null|"length")\}'
    end = rb'\],"usage":'
    expected = (
        rb"(?:" + common + choice + end + rb"null\}\n\n)+" + common + end
        + rb'\{"prompt_tokens":\d+,"completion_tokens":2,"total_tokens":\d+\}\}\n\ndata: \[DONE\]\n\n'
    )  # fmt: skip
    assert re.fullmatch(expected, stream)


@pytest.mark.parametrize("abruptly", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_leaving_stops_the_work(slower_live: LiveServer, stream: bool, abruptly: bool) -> None:
    connection = posted(slower_live, LONG | {"stream": stream, "n": 2})
    if stream:
        assert b"200 OK" in connection.recv(4096)
    wait_until_running(slower_live, 2)
    if abruptly:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()
    steps = slower_live.engine.steps
    wait_until_idle(slower_live.engine)
    assert slower_live.engine.steps <= steps + 3, "the step under way, and another while the news travels"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_leaving_the_queue_leaves_nothing_behind(slow_live: LiveServer, stream: bool) -> None:
    connections = [posted(slow_live, LONG | {"stream": stream, "prompt": ["A fox"] * 3}) for _ in range(2)]
    wait_until_running(slow_live, 2)
    for connection in connections:
        connection.close()
    wait_until_idle(slow_live.engine)


def test_closing_the_clients_stream_stops_the_work(slow_live: LiveServer) -> None:
    with connected(slow_live) as openai:
        stream = openai.completions.create(
            model=MODEL, prompt=PROMPT, max_tokens=100, n=2, stream=True, extra_body={"ignore_eos": True}
        )
        next(stream)
        stream.close()
        wait_until_idle(slow_live.engine)


def test_a_flood_is_turned_away_and_survived(slow_live: LiveServer) -> None:
    connections = [posted(slow_live, LONG | {"stream": True}) for _ in range(30)]
    statuses = [connection.recv(12).split()[1] for connection in connections]
    assert set(statuses) == {b"200", b"503"}
    for connection in connections:
        connection.close()
    wait_until_idle(slow_live.engine)
    with connected(slow_live) as openai:
        assert openai.completions.create(model=MODEL, prompt=PROMPT, max_tokens=1).choices


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_server_that_stops_ends_its_answers(bundle: Bundle, slow_decoding: float, stream: bool) -> None:
    with serving(bundle) as live:
        connection = posted(live, LONG | {"stream": stream})
        wait_until_running(live, 1)
    answer = b"".join(iter(lambda: connection.recv(65536), b""))
    connection.close()
    assert live.engine.running == 0
    assert b"[DONE]" not in answer
    assert b'"usage"' not in answer
