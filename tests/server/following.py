"""Clients of the event streams of plots."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from httpx_sse import EventSource, ServerSentEvent, connect_sse

LONG = {"prompt": "A fox", "length": "paragraph", "wildness": "5", "seed": "2"}
"""A plot of more than sixty tokens, by the minute model."""


def start(address: str, fields: dict[str, str]) -> dict[str, Any]:
    """Start a plot, and return the response with full addresses."""
    answer = httpx.post(f"{address}/api/plots", json=fields, timeout=30)
    assert answer.status_code == 201, answer.text
    plot: dict[str, Any] = answer.json()
    assert answer.headers["location"] == plot["self"]
    return plot | {"self": address + plot["self"], "events": address + plot["events"]}


@contextmanager
def following(plot: dict[str, Any], last_event_id: str | None = None) -> Iterator[EventSource]:
    """Open the event stream of a plot."""
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    with httpx.Client(timeout=60) as client, connect_sse(client, "GET", plot["events"], headers=headers) as source:
        assert source.response.status_code == 200
        assert source.response.headers["cache-control"] == "no-store"
        assert source.response.headers["x-accel-buffering"] == "no"
        yield source


def follow(plot: dict[str, Any], last_event_id: str | None = None) -> list[ServerSentEvent]:
    """Return the events of a plot, once it has ended."""
    with following(plot, last_event_id) as source:
        return list(source.iter_sse())


def read(plot: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a plot."""
    answer = httpx.get(plot["self"], timeout=30)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, Any] = answer.json()
    return found


def text_of(events: list[ServerSentEvent]) -> str:
    return "".join(event.json()["text"] for event in events if event.event == "token")
