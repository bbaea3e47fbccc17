"""The metrics agree with what was written, and with their documentation."""

import re
from pathlib import Path

import httpx
from litestar import Litestar
from litestar.testing import TestClient
from prometheus_client.parser import text_string_to_metric_families

from server.engine import Request, Sampling
from tests.server.live import LiveServer
from tests.server.reading import PROMPT, tokens_of

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


def samples(server: LiveServer) -> dict[str, float]:
    """Asked from the server's own machine."""
    answer = httpx.get(f"{server.address}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.text)
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_what_was_written_is_counted(slow_live: LiveServer) -> None:
    engine, local = slow_live.engine, slow_live
    before = samples(local)["plotify:generation_tokens_total"]
    written = len(tokens_of(engine.submit(Request(PROMPT, Sampling(max_tokens=7, ignore_end=True)))))
    stream = engine.submit(Request(PROMPT, Sampling(max_tokens=100, ignore_end=True)))
    next(stream)
    running = samples(local)
    assert (running["plotify:num_requests_running"], running["plotify:ready"], running["plotify:rows"]) == (1, 1, 2)
    assert running["process_resident_memory_bytes"] > 10**7
    stream.cancel()
    engine.drain()
    after = samples(local)
    assert after["plotify:ready"] == 0
    assert after["plotify:generation_tokens_total"] >= before + written + 1
    assert after["plotify:engine_seconds_total"] >= after["plotify:model_seconds_total"] > 0


def test_all_are_documented_as_they_describe_themselves(slow_live: LiveServer) -> None:
    table = dict(re.findall(r"^\| `(plotify:\w+)` \| (.*) \|$", DOCS.read_text(), re.MULTILINE))
    text = httpx.get(f"{slow_live.address}/metrics").text
    families = [each for each in text_string_to_metric_families(text) if ":" in each.name]
    assert {each.samples[0].name: each.documentation for each in families} == table
    assert {sample.labels["model_name"] for each in families for sample in each.samples} == {"plotify-tiny"}


def test_strangers_do_not_see_them(client: TestClient[Litestar]) -> None:
    assert client.get("/metrics").status_code == 403
