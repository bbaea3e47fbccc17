"""The metrics agree with the clients' results and with the documentation."""

import re
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient
from prometheus_client.parser import text_string_to_metric_families

from server.bundle import Bundle
from server.engine import EngineBusy, Request, Sampling
from tests.server.following import LONG, follow, following, start
from tests.server.live import LiveServer, serving, slow_down, wait_until_idle
from tests.server.observability.scraping import samples
from tests.server.reading import PROMPT

DOCS = Path(__file__).parents[3] / "docs" / "metrics.md"


def test_tokens_and_ends_are_those_that_clients_received(bundle: Bundle) -> None:
    """Whole completions, streams, several of one prompt, guided ones and plots, all at once."""
    asked = [
        {"prompt": "A fox", "max_tokens": 9, "ignore_eos": True},
        {"prompt": "A fox", "max_tokens": 5, "n": 2, "ignore_eos": True},
        {"prompt": ["A fox", "The detective in Lisbon"], "max_tokens": 7, "genre": "Horror", "ignore_eos": True},
        {"prompt": "A fox and a dog and a fox and a dog and a fox and a dog", "max_tokens": 3},
        {"prompt": "A fox and a dog and a fox and a dog and a fox and a dog", "max_tokens": 0, "echo": True},
    ]
    usages: list[dict[str, int]] = []

    def complete(body: dict[str, object]) -> None:
        answer = httpx.post(f"{live.address}/v1/completions", json=body | {"model": "plotify-tiny"}, timeout=60)
        assert answer.status_code == 200, answer.text
        usages.append(answer.json()["usage"])

    with serving(bundle, rows=8) as live:
        threads = [threading.Thread(target=complete, args=(body,)) for body in asked]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until_idle(live.engine)
        found = samples(live.address)
    assert len(usages) == len(asked)
    assert found["plotify:prompt_tokens_total"] == sum(usage["prompt_tokens"] for usage in usages)
    assert found["plotify:generation_tokens_total"] == sum(usage["completion_tokens"] for usage in usages)
    ended = [found[f"plotify:request_success_total{{{reason}}}"] for reason in ("stop", "length")]
    assert sum(ended) == 1 + 2 + 2 + 1 + 1
    for name in ("time_to_first_token", "e2e_request_latency", "request_queue_time", "request_decode_time"):
        assert found[f"plotify:{name}_seconds_count"] == sum(ended)
    assert found["plotify:prefix_cache_queries_total"] > found["plotify:prefix_cache_hits_total"]
    assert found["plotify:kv_cache_usage_perc"] == found["plotify:num_requests_running"] == 0


def test_intervals_are_as_long_as_steps_and_one_for_each_token_but_the_first(
    monkeypatch: pytest.MonkeyPatch, bundle: Bundle
) -> None:
    slow_down(monkeypatch, 0.1)
    body = {"model": "plotify-tiny", "prompt": "A fox", "max_tokens": 8, "ignore_eos": True}
    with serving(bundle) as live:
        assert httpx.post(f"{live.address}/v1/completions", json=body, timeout=60).status_code == 200
        found = samples(live.address)
    # The first step of a sequence sends two tokens together: what its prompt foretells, and the next.
    assert found["plotify:inter_token_latency_seconds_count"] == 8 - 2
    assert found["plotify:inter_token_latency_seconds_sum"] >= 6 * 0.1
    assert found["plotify:inter_token_latency_seconds_bucket{0.1}"] == 0
    assert found["plotify:request_decode_time_seconds_sum"] == pytest.approx(
        found["plotify:inter_token_latency_seconds_sum"]
    )


def test_a_kept_prompt_is_a_hit(bundle: Bundle) -> None:
    body = {"model": "plotify-tiny", "prompt": "A fox and a dog " * 8, "max_tokens": 1}
    with serving(bundle) as live:
        for _ in range(2):
            usage = httpx.post(f"{live.address}/v1/completions", json=body, timeout=60).json()["usage"]
        found = samples(live.address)
    assert found["plotify:prefix_cache_queries_total"] == 2 * usage["prompt_tokens"]
    hits = found["plotify:prefix_cache_hits_total"]
    assert usage["prompt_tokens"] - 16 <= hits < usage["prompt_tokens"]
    assert hits % 16 == 0


def test_the_gauges_tell_of_now(slow_live: LiveServer) -> None:
    plot = start(slow_live.address, LONG)
    with following(plot) as source:
        events = source.iter_sse()
        next(events)
        found = samples(slow_live.address)
    assert found["plotify:num_requests_running"] == 1
    assert found["plotify:event_streams"] == 1
    assert 0 < found["plotify:kv_cache_usage_perc"] < 1
    assert found["plotify:rows"] == 2
    assert found["process_resident_memory_bytes"] > 10**7
    httpx.delete(plot["self"])
    wait_until_idle(slow_live.engine)
    while (found := samples(slow_live.address))["plotify:event_streams"]:
        time.sleep(0.01)
    assert found["plotify:request_unfinished_total{cancelled}"] == 1
    assert found["plotify:num_requests_running"] == found["plotify:kv_cache_usage_perc"] == 0


def test_a_plot_that_ends_with_its_sentence_is_not_counted_as_cancelled(bundle: Bundle) -> None:
    """A plot ends with its sentence. The engine is stopped then, unless it has finished."""
    ends: Counter[str] = Counter()
    with serving(bundle) as live:
        while True:
            fields = {"prompt": "A fox", "length": "line", "seed": str(ends.total())}
            *_, end = follow(start(live.address, fields))
            ends[end.json()["finish_reason"]] += 1
            wait_until_idle(live.engine)
            found = samples(live.address)
            stopped, whole = (found[f"plotify:request_success_total{{{reason}}}"] for reason in ("stop", "length"))
            assert found["plotify:request_unfinished_total{cancelled}"] == 0
            assert stopped + whole == ends.total()
            assert stopped <= ends["stop"]
            if stopped:
                break


def test_every_end_is_told_once(bundle: Bundle, slow_decoding: float) -> None:
    """Continuations in rows, in the queue, refused, and failed by closing the engine."""
    with serving(bundle, rows=2) as live:
        endless = Request(PROMPT, Sampling(max_tokens=100, ignore_end=True))
        streams = [live.engine.submit(endless) for _ in range(6)]
        next(streams[0])
        with pytest.raises(EngineBusy):
            live.engine.submit(endless)
        for stream in streams[:3]:
            stream.cancel()
        next(streams[3])
        while samples(live.address)["plotify:request_unfinished_total{cancelled}"] < 3:
            time.sleep(0.01)
        found = samples(live.address)
        assert found["plotify:refusals_total{queue}"] == 1
        assert found["plotify:request_unfinished_total{failed}"] == 0
        live.engine.close()
        found = samples(live.address)
        assert found["plotify:request_unfinished_total{failed}"] == 6 - 3
        assert found["plotify:request_unfinished_total{cancelled}"] == 3
        assert found["plotify:ready"] == 0
        with pytest.raises(EngineBusy):
            live.engine.submit(endless)
        assert samples(live.address)["plotify:refusals_total{unavailable}"] == 1


def test_requests_without_a_route_are_counted_together(slow_live: LiveServer) -> None:
    for method, path in (
        ("GET", "/a"),
        ("GET", "/b/c"),
        ("GET", "/v1/models/x"),
        ("BREW", "/"),
        ("PUT", "/api/plots/none"),
    ):
        assert httpx.request(method, slow_live.address + path).status_code in (404, 405)
    found: dict[str, float] = {}
    while sum(found.values()) < 5:  # an answer is counted when it has been sent
        counted = samples(slow_live.address).items()
        found = {name: count for name, count in counted if "http_requests_total" in name and "/metrics" not in name}
    assert found == {
        "plotify:http_requests_total{none,GET,404}": 2,
        "plotify:http_requests_total{/v1/models/{model},GET,404}": 1,
        "plotify:http_requests_total{none,other,405}": 1,
        "plotify:http_requests_total{none,PUT,405}": 1,
    }


def test_all_are_documented_as_they_describe_themselves(slow_live: LiveServer) -> None:
    table = dict(re.findall(r"^\| `(plotify:\w+)` \| (.*) \|$", DOCS.read_text(), re.MULTILINE))
    httpx.get(f"{slow_live.address}/healthz")
    text = httpx.get(f"{slow_live.address}/metrics").text
    families = [each for each in text_string_to_metric_families(text) if ":" in each.name]
    found = {each.name + ("_total" if each.type == "counter" else ""): each for each in families}
    assert found.keys() == table.keys()
    for name, family in found.items():
        assert table[name].startswith(family.documentation)
        for label in {label for sample in family.samples for label in sample.labels} - {"le", "model_name"}:
            assert f"`{label}`" in table[name]


def test_strangers_do_not_see_them(client: TestClient[Litestar]) -> None:
    assert client.get("/metrics").status_code == 403
