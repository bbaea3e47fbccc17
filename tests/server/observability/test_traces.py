"""The spans of a request, at an OpenTelemetry collector."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from server.app import create_app
from server.bundle import Bundle
from server.completions.parsed_request import ParsedRequest
from server.engine import Engine
from server.settings import Settings, SettingsError
from tests.conftest import ROOT
from tests.server.following import LONG, start
from tests.server.live import serving, wait_until_idle
from tests.server.observability.collecting import collecting

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def attributes(span: Span) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in span.attributes:
        kind = each.value.WhichOneof("value")
        value = getattr(each.value, kind)
        found[each.key] = value.values[0].string_value if kind == "array_value" else value
    return found


def test_a_request_is_a_span_with_its_parts_below_it(bundle: Bundle, slow_decoding: float) -> None:
    body = {"model": "plotify-tiny", "prompt": "A fox", "max_tokens": 6, "ignore_eos": True}
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "mine"}
    with collecting() as collector:
        with serving(bundle, Settings(traces=collector.address)) as live:
            usage = httpx.post(f"{live.address}/v1/completions?secret", json=body, headers=headers).json()["usage"]
            httpx.get(f"{live.address}/healthz")
        spans = {span.name: span for span in collector.spans}
    assert spans.keys() == {"POST /v1/completions", "queue", "prefill", "decode"}
    request = spans["POST /v1/completions"]
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    assert request.parent_span_id.hex() == PARENT
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/v1/completions",
        "http.response.status_code": 200,
        "plotify.request_id": "mine",
    }
    parts = [spans[name] for name in ("queue", "prefill", "decode")]
    assert {part.parent_span_id for part in parts} == {request.span_id}
    times = [time for part in parts for time in (part.start_time_unix_nano, part.end_time_unix_nano)]
    assert times == sorted(times)
    assert times[1::2][:2] == times[2::2], "one begins after the other ends"
    assert request.start_time_unix_nano < times[0]
    assert times[-1] - times[-2] > 4 * slow_decoding * 1e9
    assert attributes(parts[-1]) == {
        "gen_ai.usage.input_tokens": usage["prompt_tokens"],
        "gen_ai.usage.output_tokens": 6,
        "gen_ai.response.finish_reasons": "length",
    }
    assert not attributes(parts[0])


def test_a_plot_goes_on_below_the_request_that_started_it(bundle: Bundle, slow_decoding: float) -> None:
    """Cancelled and queued continuations have spans too; a refused request has none below its own."""
    with collecting() as collector:
        with serving(bundle, Settings(traces=collector.address)) as live:
            plots = [start(live.address, LONG) for _ in range(3)]
            for plot in plots[::-1]:
                httpx.delete(plot["self"])
            wait_until_idle(live.engine)
        starts = [span for span in collector.spans if span.name == "POST /api/plots"]
        parts = [span for span in collector.spans if span.name in ("queue", "prefill", "decode")]
    assert len({span.trace_id for span in starts}) == 3
    of_each = [{part.name for part in parts if part.parent_span_id == span.span_id} for span in starts]
    assert of_each[2] == {"queue"}
    assert not any(span.status.code for span in starts)
    assert all(names >= {"queue", "prefill"} for names in of_each[:2])
    ends = [attributes(part).get("gen_ai.response.finish_reasons") for part in parts]
    assert sorted(filter(None, ends)) == ["cancelled"] * 3


def test_a_failed_request_is_traced_without_its_message(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(ParsedRequest, "read", fail)
    body = {"model": "plotify-tiny", "prompt": "A fox"}
    with collecting() as collector:
        with serving(bundle, Settings(traces=collector.address)) as live:
            assert httpx.post(f"{live.address}/v1/completions", json=body).status_code == 500
        (span,) = collector.spans
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert b"secret" not in span.SerializeToString()


def test_a_collector_that_is_not_there_is_no_matter(bundle: Bundle) -> None:
    body = {"model": "plotify-tiny", "prompt": "A fox", "max_tokens": 2}
    with serving(bundle, Settings(traces="http://127.0.0.1:9")) as live:
        for given in ("", "00-x", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{PARENT}-zz", "ü"):
            headers = {b"traceparent": given.encode()}
            answer = httpx.post(f"{live.address}/v1/completions", json=body, headers=headers)
            assert answer.status_code == 200


def test_without_the_packages_it_says_which(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "server.observability.traces", raising=False)
    with pytest.raises(
        SettingsError, match=r"PLOTIFY_TRACES is set, but opentelemetry is not installed(.|\n)*\[otel\]"
    ):
        create_app(engine, Settings(traces="http://127.0.0.1:4318"))
    with pytest.raises(SettingsError, match=r"PLOTIFY_TRACES is '127.*'; it must be an address, http"):
        Settings(traces="127.0.0.1:4318")


def test_nothing_of_it_is_loaded_where_nobody_is_told() -> None:
    program = "import sys, server.app; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([Path(sys.executable), "-c", program], cwd=ROOT).returncode == 0
