"""The examples in the docs run, and print something."""

from collections.abc import Iterator

import pytest

from server.bundle import Bundle
from server.settings import SHIPPED_MODEL
from tests.documentation import ADDRESS, aimed, examples
from tests.server.live import LiveServer, serving

EXAMPLES = [
    pytest.param(block, id=f"{page}-{number}")
    for page in ("completions.md", "plots.md")
    for number, block in enumerate(examples(page, "python"))
]


@pytest.fixture(scope="module")
def live() -> Iterator[LiveServer]:
    with serving(Bundle.load(SHIPPED_MODEL), rows=8) as server:
        yield server


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs(example: str, live: LiveServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert ADDRESS in example
    exec(compile(aimed(example, live.address), "example", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.strip()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 6
