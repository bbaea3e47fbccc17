"""The examples in the docs do what they say, at least so far as to run and print something."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.bundle import Bundle
from server.settings import SHIPPED_MODEL
from tests.server.live import LiveServer, serving

DOCS = Path(__file__).parents[2] / "docs"
ADDRESS = "http://127.0.0.1:8000"

EXAMPLES = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in (DOCS / "completions.md", DOCS / "plots.md")
    if page.exists()
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S))
]


@pytest.fixture(scope="module")
def live() -> Iterator[LiveServer]:
    with serving(Bundle.load(SHIPPED_MODEL), rows=8) as server:
        yield server


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs(example: str, live: LiveServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert ADDRESS in example
    exec(compile(example.replace(ADDRESS, live.address), "example", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.strip()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 5
