"""The pages of load tests in a browser: the report, and Locust's own."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from benchmarks.load.figures import LoadFigures, Percentiles
from benchmarks.load.report import draw_latency, draw_throughput, write_page
from benchmarks.processor_time import Shares
from tests.conftest import ROOT

LATENCY = Percentiles({50: 58.123, 95: 118.456, 99: 119.789}, (95, 99))
FIGURES = LoadFigures(
    "served", 32, "32 users", 96.0, 12345, 12345, 12, 127, 77123, 12345.6, LATENCY, LATENCY, Shares(1, 2, 0, 0), ("?",)
)
CONTENT = {
    "date": "2026-11-29",
    "commit": "abc1234",
    "machine": {"processor": "a processor with a long name, made for this test", "cores": 2},
    "versions": {"python": "3.11.2"},
    "settings": {
        "model": "gpt2-small",
        "shape": "steady",
        "behaviour": "clients",
        "max_tokens": 64,
        "precision": "int8",
        "counts": [{"target": "served", "label": "32 users", "received": 77123, "written": 77123}],
    },
}


@pytest.fixture
def report(tmp_path: Path) -> Path:
    figures = [FIGURES, replace(FIGURES, target="eager", tokens_per_second=96.5)]
    pictures = [tmp_path / "latency.png", tmp_path / "throughput.png"]
    draw_latency(pictures[0], figures, "users")
    draw_throughput(pictures[1], figures, "users")
    write_page(tmp_path / "report.html", CONTENT, figures, pictures)
    return tmp_path / "report.html"


@pytest.mark.parametrize("width", [1280, 390])
def test_the_report_fits_and_begins_with_what_counts(browser: Browser, report: Path, width: int) -> None:
    """On a telephone tables scroll, each by itself."""
    with closing(browser.new_page(viewport={"width": width, "height": 800})) as page:
        page.goto(report.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        wide = page.locator(".wide").evaluate_all("all => all.map(each => each.scrollWidth - each.clientWidth)")
        assert len(wide) == 4
        assert width == 390 or set(wide) == {0}
        first = page.get_by_text("served : eager =")
        assert first.inner_text().replace("\n", "") == "served : eager = 127.9 × the tokens per second, 32 users"
        box = first.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 800


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_keeps_to_the_readers_colours(browser: Browser, report: Path, scheme: str) -> None:
    with closing(browser.new_page(color_scheme=scheme)) as page:  # type: ignore[arg-type]
        page.goto(report.as_uri())
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(0, 0, 0)"}[scheme]
        filters = page.locator("img").evaluate_all("all => all.map(each => getComputedStyle(each).filter)")
        assert {each != "none" for each in filters} == {scheme == "dark"}


@pytest.fixture
def locust(browser: Browser) -> Iterator[Page]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ("--host", "http://127.0.0.1:9", "--web-host", "127.0.0.1", "--web-port", str(port))
    command = [sys.executable, "-m", "locust", "-f", "benchmarks/locustfile.py", *options]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            while process.poll() is None:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                except ConnectionRefusedError:
                    time.sleep(0.1)
                else:
                    break
            with closing(browser.new_page(viewport={"width": 1280, "height": 900})) as page:
                page.goto(f"http://127.0.0.1:{port}")
                yield page
        finally:
            process.terminate()


def test_locusts_page_cuts_no_label(locust: Page) -> None:
    locust.get_by_text("Custom parameters").click()
    labels = locust.locator("label")
    locust.get_by_label("Draw Seed").wait_for()
    cut = labels.evaluate_all(
        "all => all.filter(each => each.scrollWidth > each.clientWidth).map(each => each.innerText)"
    )
    assert labels.count() > 14
    assert cut == []
