"""A long page gives other requests their turn."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from server import rendering
from server.bundle import Bundle
from server.rendering import Pages
from server.shelf import Passage, Volume

pytestmark = pytest.mark.anyio

PASSAGES = 200


def plot() -> Volume:
    now = datetime.now(UTC)
    tried = [Passage(number, 0, f"Try {number}", "model", now) for number in range(1, PASSAGES + 1)]
    return Volume(
        title="A fox", genre="", steering={}, text="", created=now, changed=now, id="x" * 22, token=None, current=0,
        path=[], children=tried, undo=None, redo=None,
    )  # fmt: skip


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

    context = {"plot": plot(), "share": None, "service": False, "token": "x"}
    task = asyncio.create_task(another())
    if streamed:
        text = "".join([piece async for piece in Pages(bundle.manifest).stream("plot.html", **context)])
    else:
        text = await Pages(bundle.manifest).render("plot.html", **context)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert f"Try {PASSAGES}" in text
    assert turns > PASSAGES
