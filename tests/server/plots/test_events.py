"""Plots as server-sent events, over a real socket."""

import itertools
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from server.bundle import Bundle
from server.engine import Request, Sampling
from server.settings import Settings
from tests.documentation import example
from tests.server.at_desk import form
from tests.server.cutting import AT_ONCE, cutting
from tests.server.desk.visiting import shelf_cookie
from tests.server.following import LONG, follow, following, read, start, text_of
from tests.server.live import LiveServer, serving, slow_down, wait_until_idle

FORM = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 29\r\n\r\nprompt=A+fox&length=paragraph"


def raw_request(address: str, request: bytes) -> socket.socket:
    parts = urlsplit(address)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=30)
    connection.sendall(request)
    return connection


def leave(connection: socket.socket, abruptly: bool) -> None:
    if abruptly:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    connection.close()


@pytest.fixture
def impatient_live(monkeypatch: pytest.MonkeyPatch, bundle: Bundle) -> Iterator[LiveServer]:
    """A server with a grace of two seconds. Its plots take much longer."""
    slow_down(monkeypatch, 0.4)
    with serving(bundle, Settings(plot_grace=2)) as server:
        yield server


def test_tokens_then_done_the_same_for_the_same_seed(bundle: Bundle) -> None:
    fields = {"prompt": "A fox", "length": "line", "seed": "5", "genre": "Horror"}
    with serving(bundle) as live:
        plots = [start(live.address, fields) for _ in range(2)]
        first, second = [follow(plot) for plot in plots]
        found = read(plots[0])
    assert plots[0]["seed"] == 5
    assert [(event.event, event.data, event.id) for event in first] == [
        (event.event, event.data, event.id) for event in second
    ]
    numbers = [int(event.id.split("-")[0]) for event in first]
    assert numbers == sorted(numbers)
    assert first[-1].id.endswith("-end")
    assert {event.event for event in first[:-1]} == {"token"}
    assert all(event.json()["text"] for event in first[:-1])
    assert first[-1].event == "done"
    end = first[-1].json()
    assert end["seed"] == 5
    assert end["finish_reason"] in ("stop", "length")
    usage = end["usage"]
    assert usage["completion_tokens"] >= len(first) - 1 > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert found == {
        "id": plots[0]["id"],
        "state": "done",
        "prompt": "A fox",
        "text": text_of(first),
        "seed": 5,
        "usage": usage,
        "last_event_id": first[-1].id,
        "finish_reason": end["finish_reason"],
        "problem": None,
    }


def test_tokens_come_one_by_one(slow_live: LiveServer, slow_decoding: float) -> None:
    arrivals = []
    with following(start(slow_live.address, LONG | {"length": "line"})) as source:
        for _ in source.iter_sse():
            arrivals.append(time.monotonic())
    assert len(arrivals) > 5
    spans = [later - earlier for earlier, later in itertools.pairwise(arrivals)]
    assert sorted(spans)[len(spans) // 2] > slow_decoding / 2


@pytest.mark.parametrize("chance", range(2))
def test_a_connection_cut_ten_times_is_resumed_to_the_identical_text(
    undisturbed: str, slow_live: LiveServer, chance: int
) -> None:
    """The cut may be at any byte: in the headers, or in the middle of an event."""
    lengths = random.Random(chance)
    found: list[ServerSentEvent] = []
    with cutting(slow_live.address, [lengths.randrange(1, 700) for _ in range(10)]) as cuts:
        plot = start(slow_live.address, LONG)
        events = plot["events"].replace(slow_live.address, cuts.address)
        while not found or found[-1].event != "done":
            headers = {"Last-Event-ID": found[-1].id} if found else {}
            try:
                with (
                    httpx.Client(timeout=30) as client,
                    connect_sse(client, "GET", events, headers=headers) as source,
                ):
                    for event in source.iter_sse():
                        found.append(event)
            except httpx.TransportError:
                continue
    assert cuts.cut == 10
    assert cuts.connections == 11
    assert len({event.id for event in found}) == len(found)
    assert text_of(found) == read(plot)["text"] == undisturbed


@pytest.fixture
def undisturbed(bundle: Bundle) -> str:
    """Return the text of the plot LONG, from a server without interruptions."""
    with serving(bundle) as live:
        plot = start(live.address, LONG)
        text = text_of(follow(plot))
    assert len(text) > 100
    return text


def test_the_documented_client_writes_the_whole_plot_over_a_connection_that_breaks(slow_live: LiveServer) -> None:
    fields = {"prompt": "A detective in Lisbon", "length": "lines", "seed": "2"}
    whole = text_of(follow(start(slow_live.address, fields)))
    with cutting(slow_live.address, (1, 900, 1500)) as cuts:
        program = example("plots.md", "python", cuts.address)
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
        assert cuts.connections == 4
    assert done.stdout.startswith(f"{whole}\ndone: {{'finish_reason': 'length', "), done.stderr


def test_several_readers_follow_one_plot_and_a_late_one_catches_up(slow_live: LiveServer) -> None:
    plot = start(slow_live.address, LONG)
    found: dict[int, list[ServerSentEvent]] = {}

    def read_on(number: int) -> None:
        found[number] = follow(plot)

    readers = [threading.Thread(target=read_on, args=(number,)) for number in range(3)]
    for reader in readers[:2]:
        reader.start()
    with following(plot) as source:
        for event in source.iter_sse():
            if event.id.startswith("10-"):
                readers[2].start()
                begun = read(plot)
                break
    for reader in readers:
        reader.join()
    found[3] = follow(plot)
    found[4] = found[3][:10] + follow(plot, found[3][9].id)
    assert [[event.id for event in events] for events in found.values()] == [[event.id for event in found[3]]] * 5
    whole = read(plot)["text"]
    assert [text_of(events) for events in found.values()] == [whole] * 5
    assert begun["state"] == "writing"
    assert begun["text"] + text_of(follow(plot, begun["last_event_id"])) == whole


@pytest.mark.parametrize("abruptly", [False, True], ids=["closed", "reset"])
def test_leaving_the_page_stops_the_work_at_once(slower_live: LiveServer, abruptly: bool) -> None:
    with httpx.Client(base_url=slower_live.address) as client:
        body = urlencode(form(client, text="A fox", do="continue", length="paragraph"))
        cookie = "=".join(shelf_cookie(client))
    head = f"POST /desk HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    connection = raw_request(slower_live.address, f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    assert b"200 OK" in connection.recv(4096)
    connection.recv(4096)
    deadline = time.monotonic() + 20
    while slower_live.engine.running < 2:  # as many texts as there are rows
        assert time.monotonic() < deadline, "nothing is written"
        time.sleep(0.005)
    leave(connection, abruptly)
    steps = slower_live.engine.steps
    wait_until_idle(slower_live.engine)
    assert slower_live.engine.steps <= steps + 2, "the step under way, and one more while the news travels"


@pytest.mark.parametrize("abruptly", [False, True], ids=["closed", "reset"])
def test_a_plot_that_is_left_goes_on_for_its_grace_and_ends_then(impatient_live: LiveServer, abruptly: bool) -> None:
    plot = start(impatient_live.address, LONG)
    path = urlsplit(plot["events"]).path.encode()
    connection = raw_request(impatient_live.address, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200 OK" in connection.recv(4096)
    time.sleep(2.5)
    assert impatient_live.engine.running == 1, "somebody follows it"
    leave(connection, abruptly)
    steps = impatient_live.engine.steps
    wait_until_idle(impatient_live.engine)
    assert impatient_live.engine.steps <= steps + 20, "five within the grace; by itself it takes a hundred"
    follow(plot)
    found = read(plot)
    assert (found["state"], found["finish_reason"]) == ("done", "cancelled")
    assert found["text"]


def test_plots_that_nobody_follows_leave_rows_and_queue(impatient_live: LiveServer) -> None:
    plots = [start(impatient_live.address, LONG) for _ in range(5)]
    assert impatient_live.engine.running + impatient_live.engine.queued == 5
    assert read(plots[4])["state"] == "waiting"
    wait_until_idle(impatient_live.engine)
    assert {follow(plot)[-1].json()["finish_reason"] for plot in plots} == {"cancelled"}


def test_a_plot_that_waits_is_followed_and_kept_alive(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    slow_down(monkeypatch, 0.2)
    with serving(bundle, Settings(heartbeat=1)) as live:
        ahead = live.engine.submit_several(Request("A hen", Sampling(max_tokens=100, ignore_end=True)), 2)
        plot = start(live.address, LONG)
        with httpx.stream("GET", plot["events"], timeout=30) as answer:
            pieces = answer.iter_text()
            received = next(pieces)
            while received.count("\n") < 3:
                received += next(pieces)
            assert received == "retry: 1000\n:\n:\n"
            for stream in ahead:
                stream.cancel()
            received = next(pieces)
        assert received.startswith("id: 1-")
        assert "\nevent: token\n" in received
        assert httpx.delete(plot["self"]).status_code == 204


def test_stopping_tells_the_readers_and_keeps_what_was_written(slower_live: LiveServer) -> None:
    plot = start(slower_live.address, LONG)
    with following(plot) as source:
        events = source.iter_sse()
        found = [next(events), next(events)]
        steps = slower_live.engine.steps
        for _ in range(2):
            answer = httpx.delete(plot["self"], timeout=30)
            assert (answer.status_code, answer.content) == (204, b"")
        found += events
    assert found[-1].event == "done"
    assert found[-1].json()["finish_reason"] == "cancelled"
    wait_until_idle(slower_live.engine)
    assert slower_live.engine.steps <= steps + 3
    assert read(plot)["text"] == text_of(found)
    assert [event.id for event in follow(plot, found[1].id)] == [event.id for event in found[2:]]


def test_a_reader_that_does_not_read_keeps_nobody_waiting(slow_live: LiveServer) -> None:
    plot = start(slow_live.address, LONG)
    path = urlsplit(plot["events"]).path.encode()
    idle = [raw_request(slow_live.address, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(3)]
    assert httpx.get(f"{slow_live.address}/healthz").json()["status"] == "ok"
    assert follow(plot)[-1].event == "done"
    for connection in idle:
        connection.close()


def test_a_flood_is_turned_away_and_survived(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    slow_down(monkeypatch, 0.05)
    with serving(bundle, Settings(plot_grace=1)) as live:
        request = b"POST /api/plots HTTP/1.1\r\nHost: x\r\n" + FORM
        connections = [raw_request(live.address, request) for _ in range(40)]
        statuses = [connection.recv(12).split()[1] for connection in connections]
        assert set(statuses) == {b"201", b"503"}
        assert 6 <= statuses.count(b"201") <= 8
        for connection in connections:
            connection.close()
        wait_until_idle(live.engine)
        assert follow(start(live.address, {"prompt": "A fox", "length": "line"}))[-1].event == "done"
