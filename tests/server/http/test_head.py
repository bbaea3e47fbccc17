"""HEAD has the same response as GET, without the body."""

import time
from collections.abc import Iterator

import httpx
import pytest

from server.bundle import Bundle
from tests.server.live import serving

OF_EACH_REQUEST = {"date", "x-request-id", "set-cookie"}


@pytest.fixture(scope="module")
def client(bundle: Bundle) -> Iterator[httpx.Client]:
    with serving(bundle) as server, httpx.Client(base_url=server.address) as client:
        yield client


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/shelf", "/static/desk.js", "/healthz", "/v1/models", "/status", "/nope", "/v1/nope"]
)
def test_the_head_is_that_of_a_get_and_the_body_is_left_out(client: httpx.Client, path: str) -> None:
    head, whole = client.head(path), client.get(path)  # on one connection, so no byte of a body comes between
    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.status_code == (404 if "nope" in path else 200)
    told, expected = ({*each.headers.items()} for each in (head, whole))
    assert {name for name, _ in told ^ expected} <= OF_EACH_REQUEST
    assert whole.content


def test_head_is_refused_at_addresses_for_post(client: httpx.Client) -> None:
    for path in ("/v1/completions", "/api/plots"):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (405, b"")
        assert "POST" in answer.headers["allow"]


def test_a_stream_without_end_ends(client: httpx.Client) -> None:
    answer = client.head("/status", headers={"Accept": "text/event-stream"}, timeout=20)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    deadline = time.monotonic() + 20
    while "plotify:event_streams 0.0" not in client.get("/metrics").text:
        assert time.monotonic() < deadline, "the stream is written on, for nobody"
        time.sleep(0.05)


def test_head_is_counted_as_head(client: httpx.Client) -> None:
    client.head("/about")
    counted = [line for line in client.get("/metrics").text.splitlines() if 'handler="/about"' in line]
    assert len(counted) == 1
    assert 'method="HEAD"' in counted[0]
