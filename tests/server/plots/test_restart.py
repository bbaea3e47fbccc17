"""Plots outlive their server: another one with the same database goes on with the same text."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread

import httpx
import pytest
from httpx_sse import ServerSentEvent

from server.bundle import Bundle
from server.engine.arrays import Floats
from server.engine.model.runner import Runner
from server.settings import Settings
from tests.server.following import LONG, follow, following, read, start, text_of
from tests.server.live import LiveServer, serving, slow_down, wait_until_idle


@pytest.fixture
def undisturbed(bundle: Bundle) -> list[ServerSentEvent]:
    """The events of the plot LONG, from a server without interruptions."""
    with serving(bundle) as live:
        return follow(start(live.address, LONG))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    slow_down(monkeypatch, 0.02)
    return Settings(database=str(tmp_path / "shelf.sqlite"))


@contextmanager
def two_servers(bundle: Bundle, settings: Settings) -> Iterator[tuple[LiveServer, LiveServer]]:
    with serving(bundle, settings) as one, serving(bundle, settings) as other:
        yield one, other


def at(live: LiveServer, plot: dict[str, str]) -> dict[str, str]:
    """Return the plot's addresses on a server."""
    path = f"{live.address}/api/plots/{plot['id']}"
    return plot | {"self": path, "events": f"{path}/events"}


def some(plot: dict[str, str], count: int) -> list[ServerSentEvent]:
    """Return the first events of a plot."""
    with following(plot) as source:
        events = source.iter_sse()
        return [next(events) for _ in range(count)]


def told(events: list[ServerSentEvent]) -> list[tuple[str, str, str]]:
    return [(event.event, event.data, event.id) for event in events]


def test_a_plot_goes_on_after_a_restart(bundle: Bundle, settings: Settings, undisturbed: list[ServerSentEvent]) -> None:
    found: list[ServerSentEvent] = []
    with serving(bundle, settings) as live:
        plot = start(live.address, LONG)

        def read_on() -> None:
            with following(plot) as source:
                for event in source.iter_sse():
                    found.append(event)

        reader = Thread(target=read_on)
        reader.start()
        while len(found) < 5:
            time.sleep(0.01)
        live.engine.close()
        reader.join()
    assert 0 < len(found) < len(undisturbed)
    with serving(bundle, settings) as live:
        whole = follow(at(live, plot))
        found += follow(at(live, plot), found[-1].id)
        so_far = read(at(live, plot))
        tokens = so_far["usage"]["completion_tokens"]
        assert tokens <= live.engine.generated <= tokens + 1, "it is generated once for all who follow it"
    assert told(found) == told(whole) == told(undisturbed)
    assert (so_far["state"], so_far["text"]) == ("done", text_of(undisturbed))


def test_a_model_that_fails_once_takes_no_plot_along(
    bundle: Bundle, settings: Settings, undisturbed: list[ServerSentEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, decoded = Runner.decode, 0

    def fail_once(runner: Runner, tokens: Sequence[int], lengths: Sequence[int]) -> Floats:
        nonlocal decoded
        decoded += 1
        if decoded == 20:
            raise RuntimeError("out of memory")
        return decode(runner, tokens, lengths)

    monkeypatch.setattr(Runner, "decode", fail_once)
    with serving(bundle, settings) as live:
        plots = [start(live.address, LONG) for _ in range(2)]
        assert [told(follow(plot)) for plot in plots] == [told(undisturbed)] * 2
        assert live.engine.restarts == 1


def test_any_server_gives_any_plot_behind_what_the_client_has(
    bundle: Bundle, settings: Settings, undisturbed: list[ServerSentEvent]
) -> None:
    with two_servers(bundle, settings) as (one, other):
        plot = start(one.address, LONG)
        begun = some(plot, 10)
        so_far = httpx.get(at(other, plot)["self"], headers={"Last-Event-ID": begun[-1].id}, timeout=60).json()
        assert so_far["text"].startswith(text_of(begun))
        rest = follow(at(other, plot), begun[-1].id)
    assert told(begun + rest) == told(undisturbed)


@pytest.mark.parametrize("there", [False, True], ids=["where it is unknown", "where it is followed"])
def test_stopping_a_plot_on_one_server_ends_it_on_all(bundle: Bundle, settings: Settings, there: bool) -> None:
    with two_servers(bundle, settings) as (one, other):
        plot = start(one.address, LONG)
        with following(plot) as source:
            events = source.iter_sse()
            found = [next(events) for _ in range(5)]
            if there:
                some(at(other, plot), 2)
            assert httpx.delete(at(other, plot)["self"], timeout=60).status_code == 204
            found += events
        assert found[-1].json()["finish_reason"] == "cancelled"
        wait_until_idle(one.engine)
        wait_until_idle(other.engine)
        last = found[-1].id
        for server in (one, other):
            answer = httpx.get(at(server, plot)["self"], headers={"Last-Event-ID": last}, timeout=60).json()
            assert answer["text"].startswith(text_of(found))
            assert answer["finish_reason"] == "cancelled"
    with serving(bundle, settings) as live:
        assert told(follow(at(live, plot))) == told(found)


def test_a_plot_that_nobody_follows_here_goes_on_for_a_reader_there(
    bundle: Bundle, settings: Settings, undisturbed: list[ServerSentEvent]
) -> None:
    with two_servers(bundle, replace(settings, plot_grace=1)) as (one, other):
        plot = start(one.address, LONG)
        assert told(follow(at(other, plot))) == told(undisturbed)


def test_another_bundle_does_not_go_on_with_other_words(
    bundle: Bundle, settings: Settings, undisturbed: list[ServerSentEvent]
) -> None:
    with serving(bundle, settings, "fp32") as live:
        plot = start(live.address, LONG)
        begun = some(plot, 5)
    with serving(bundle, settings, "int8") as live:
        for last in (None, begun[-1].id):
            [event] = follow(at(live, plot), last)
            assert event.event == "error"
            assert "it was begun with another model" in event.json()["message"]
            assert httpx.get(at(live, plot)["events"], headers={"Last-Event-ID": event.id}).status_code == 204
    with serving(bundle, settings, "fp32") as live:  # the right one still can
        assert follow(at(live, plot), begun[-1].id)[-1].event == "done"


def test_without_records_a_restart_forgets(bundle: Bundle, settings: Settings) -> None:
    settings = replace(settings, plot_record=0)
    with serving(bundle, settings) as live:
        plot = start(live.address, LONG)
    with serving(bundle, settings) as live:
        answer = httpx.get(at(live, plot)["self"])
    assert answer.status_code == 404
    assert "or the server has restarted" in answer.json()["message"]


def test_a_database_that_fails_is_told_and_nothing_is_acknowledged(
    bundle: Bundle, settings: Settings, tmp_path: Path
) -> None:
    with serving(bundle, settings) as live:
        for file in tmp_path.glob("shelf.sqlite*"):
            file.write_bytes(b"no database" * 1000)
        answer = httpx.post(f"{live.address}/api/plots", json=LONG, timeout=60)
        assert answer.status_code == 503
        assert "cannot reach its records of plots just now" in answer.json()["message"]
        assert answer.headers["retry-after"] == "5"
