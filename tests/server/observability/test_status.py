"""The status page, and its figures."""

import base64
import json
import re
from itertools import pairwise

import httpx
import numpy as np
import pytest
from httpx_sse import connect_sse
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient

from server.bundle import Bundle
from server.engine import Engine, Request, Sampling
from server.http.keys import Key
from server.http.static import STATIC
from server.observability.histogram import WAITS, Histogram
from server.observability.history import SECONDS, History
from server.observability.recorder import Recorder
from server.observability.status import _line, status_view
from server.settings import Settings
from tests.server.live import LiveServer, serving, wait_until_idle
from tests.server.reading import PROMPT


def shown(page: str) -> dict[str, str]:
    """Return the values of the page, by their ids."""
    return dict(re.findall(r'id="([a-z0-9-]+)">([^<]*)<', page))


def test_the_page_shows_what_the_engine_does(slow_live: LiveServer) -> None:
    engine = slow_live.engine
    streams = [engine.submit(Request(PROMPT, Sampling(max_tokens=100, ignore_end=True))) for _ in range(3)]
    for stream in streams[:2]:
        next(stream)
    while True:
        answer = httpx.get(f"{slow_live.address}/status")
        assert answer.status_code == 200
        values = shown(answer.text)
        if values["waiting"] != "0" and values["first-p50"] != "–":
            break
    assert values["state"] == "Ready"
    assert (values["running"], values["waiting"]) == ("2 of 2", "1")
    assert re.fullmatch(r"[\d,]+ MB", values["memory"])
    assert engine.bundle.manifest.name in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["vary"] == "Accept"
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", answer.text)
    for stream in streams:
        stream.cancel()
    wait_until_idle(engine)


def test_its_stream_says_the_same_for_every_place_and_ends_with_the_engine(slow_live: LiveServer) -> None:
    page = httpx.get(f"{slow_live.address}/status").text
    with httpx.Client(timeout=30) as client, connect_sse(client, "GET", f"{slow_live.address}/status") as source:
        headers = source.response.headers
        assert (headers["vary"], headers["cache-control"], headers["x-accel-buffering"]) == ("Accept", "no-store", "no")
        events = source.iter_sse()
        first, second = json.loads(next(events).data), json.loads(next(events).data)
        assert first["values"].keys() | first["lines"].keys() == shown(page).keys() - {"connection"} | set(
            re.findall(r'class="line" id="([a-z-]+)"', page)
        )
        assert first["values"].keys() == second["values"].keys()
        slow_live.engine.close()
        rest = list(events)
    assert len(rest) < 5
    assert shown(httpx.get(f"{slow_live.address}/status").text)["state"] == "Stopped"


def test_the_script_is_small() -> None:
    assert len((STATIC / "status.js").read_bytes()) < 4000


def test_it_is_for_operators_who_may_give_their_key_to_a_browser(bundle: Bundle, client: TestClient[Litestar]) -> None:
    assert client.get("/status").status_code == 403
    (operator, secret), (other, wrong) = (Key.make(scope, frozenset({scope})) for scope in ("operator", "completion"))
    with serving(bundle, Settings(keys=f"{operator.entry} {other.entry}")) as live:

        def asked(path: str, credentials: bytes) -> httpx.Response:
            encoded = base64.b64encode(credentials).decode()
            return httpx.get(live.address + path, headers={"Authorization": f"Basic {encoded}"})

        refused = httpx.get(f"{live.address}/status")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == 'Bearer, Basic realm="Plotify"'
        assert asked("/status", f"anybody:{secret}".encode()).status_code == 200
        assert asked("/status", f":{wrong}".encode()).status_code == 403
        for nonsense in (b":", secret.encode(), b"\xff:\xff", f"{secret}:".encode()):
            assert asked("/status", nonsense).status_code == 401
        assert httpx.get(f"{live.address}/status", headers={"Authorization": "Basic ?"}).status_code == 401
        # A browser sends it along with whatever another site's page has it ask: not for text, then.
        assert asked("/v1/models", f"anybody:{wrong}".encode()).status_code == 401


def test_history_is_bounded_and_lines_stay_in_their_charts(engine: Engine) -> None:
    history = History(engine, Recorder())
    for _ in range(2 * SECONDS):
        history.look()
    assert len(history.samples) == SECONDS + 1
    charts = status_view(history).charts
    assert len({chart.id for chart in charts}) == len(charts) >= 6
    for chart in charts:
        assert len(chart.line) < 2000
        numbers = [float(number) for number in re.findall(r"[-0-9.]+", re.sub("h0", "", chart.line))]
        assert all(0 <= x <= 300 and 0 <= y <= 60 for x, y in zip(numbers[::2], numbers[1::2], strict=True))


def test_one_sample_is_enough(engine: Engine) -> None:
    found = status_view(History(engine, Recorder()))
    assert found.values["speed"] == "0"
    assert found.values["first-p95"] == "–"
    assert all(chart.line == "" for chart in found.charts)


def test_a_line_has_gaps_and_dots() -> None:
    assert _line([20, 15, 10, 5, 0], [1.0, 2.0, None, None, 0.0], 2.0) == "M280 30.0h0L285 0.0M300 60.0h0"


@given(st.lists(st.floats(0, 300), min_size=1, max_size=200), st.sampled_from((0.5, 0.95)))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    histogram = Histogram(WAITS)
    for value in values:
        histogram.add(value)
    assert sum(histogram.counts) == len(values)
    assert histogram.total == pytest.approx(sum(values))
    found = histogram.quantile(share, histogram.counts)
    assert found is not None
    true = float(np.quantile(values, share, method="inverted_cdf"))
    (bucket,) = [(low, high) for low, high in pairwise((-1.0, *WAITS)) if low < true <= high]
    assert bucket[0] <= found <= bucket[1]


def test_a_quantile_of_nothing_and_of_what_is_beyond_all_bounds() -> None:
    histogram = Histogram((1.0, 2.0))
    assert histogram.quantile(0.5, histogram.counts) is None
    histogram.add(99.0)
    assert histogram.quantile(0.5, histogram.counts) == 2.0
