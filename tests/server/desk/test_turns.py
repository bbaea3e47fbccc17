"""A long page gives other requests their turn."""

import asyncio
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from jinja2 import Environment

from server import rendering
from server.bundle import Bundle
from server.rendering import Pages
from server.shelf import Entry

pytestmark = pytest.mark.anyio

PLOTS = 200


def entries() -> list[Entry]:
    now = datetime.now(UTC)
    return [Entry(str(number), f"Plot {number}", "", "A fox", None, 0, now, now) for number in range(1, PLOTS + 1)]


@pytest.mark.parametrize("streamed", [False, True])
async def test_others_have_their_turn_between_the_pieces(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    monkeypatch.setattr(rendering, "TURN", -1)
    turns = 0

    async def another() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    context = {"entries": entries(), "count": PLOTS, "search": "", "skip": 0, "step": PLOTS, "sort": "changed"}
    context |= {"refused": (), "deleted": None, "token": "x", "page": "x"}
    task = asyncio.create_task(another())
    if streamed:
        text = "".join([piece async for piece in Pages(bundle.manifest).stream("shelf.html", **context)])
    else:
        text = await Pages(bundle.manifest).render("shelf.html", **context)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert f"Plot {PLOTS}" in text
    assert turns > PLOTS


async def test_a_template_is_compiled_outside_the_event_loop(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, threads = Environment.compile, {}

    def noted(environment: Environment, source: str, name: str, *rest: Any) -> Any:
        threads[name] = threading.current_thread()
        return compiled(environment, source, name, *rest)

    monkeypatch.setattr(Environment, "compile", noted)
    assert "Gone." in await Pages(bundle.manifest).render("refusal.html", message="Gone.")
    assert threads["refusal.html"] is not threading.current_thread()
