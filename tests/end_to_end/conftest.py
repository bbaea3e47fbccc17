"""Fixtures: a real browser, a server, and a writer with a page of it."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from server.bundle import Bundle
from server.settings import Settings
from tests.end_to_end.dictated import DictatedDesk
from tests.end_to_end.writer import BEGINNING, PATIENCE, Writer
from tests.server.live import LiveServer, serving, slow_down

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None and os.environ.get("CI") != "true":
        pytest.skip("no chromium on PATH (with CI=true this is a failure)")
    assert CHROMIUM, "CI=true, and there is no chromium on PATH"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def served(tiny_bundle: Path) -> Path:
    """Return the bundle to serve."""
    return tiny_bundle


@pytest.fixture
def shelf_live(served: Path, tmp_path: Path) -> Iterator[LiveServer]:
    """A server with room for three guided continuations, and its own shelf."""
    with serving(Bundle.load(served), Settings(database=str(tmp_path / "shelf.sqlite")), rows=8) as server:
        yield server


@pytest.fixture
def slow_shelf_live(monkeypatch: pytest.MonkeyPatch, shelf_live: LiveServer) -> LiveServer:
    """The same server, slow enough to watch the offers grow."""
    slow_down(monkeypatch, 0.1)
    return shelf_live


@pytest.fixture(params=[True, False], ids=["javascript", "plain"])
def script(request: pytest.FixtureRequest) -> bool:
    """True if the browser runs JavaScript."""
    return bool(request.param)


@pytest.fixture
def writers(browser: Browser, shelf_live: LiveServer, script: bool) -> Iterator[Callable[..., Writer]]:
    """A function to add a writer with a new browser context; its arguments are the context's."""
    contexts: list[BrowserContext] = []

    def sit_down(**wishes: Any) -> Writer:
        contexts.append(context := browser.new_context(**({"java_script_enabled": script} | wishes)))
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        writer = Writer(page, shelf_live.address, script, [])
        page.on("pageerror", lambda error: writer.faults.append(str(error)))
        # The browser itself logs refusals. Those of requests ahead are no fault.
        page.on(
            "console",
            lambda message: (
                writer.faults.append(message.text) if message.type == "error" and "of 503" not in message.text else None
            ),
        )
        return writer

    yield sit_down
    for context in contexts:
        context.close()


@pytest.fixture
def writer(writers: Callable[..., Writer]) -> Writer:
    """A writer with the empty desk open."""
    writer = writers()
    writer.open()
    return writer


@pytest.fixture
def desk(writer: Writer) -> DictatedDesk:
    """The desk of `writer`, with a text."""
    desk = DictatedDesk(writer.page)
    writer.text.fill(BEGINNING)
    return desk
