"""A server, and the client of the `openai` package."""

from collections.abc import Iterator

import pytest
from openai import OpenAI

from server.bundle import Bundle
from tests.server.live import LiveServer, serving

MODEL = "plotify-tiny"


@pytest.fixture(scope="module")
def live(bundle: Bundle) -> Iterator[LiveServer]:
    """One server for all tests of a module. No test may leave work behind."""
    with serving(bundle, rows=8) as server:
        yield server


@pytest.fixture(scope="module")
def openai(live: LiveServer) -> Iterator[OpenAI]:
    with connected(live) as client:
        yield client


def connected(live: LiveServer) -> OpenAI:
    """The client of a server, without retries."""
    return OpenAI(base_url=f"{live.address}/v1", api_key="none", max_retries=0, timeout=60)
