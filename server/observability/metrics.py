"""Metrics for Prometheus: https://prometheus.io/docs/instrumenting/exposition_formats/

Names are vLLM's if it has the metric too, with `plotify:` before them. docs/metrics.md is the table of them, and a test
keeps it and this module in agreement.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from server.engine import AnyEngine
from server.observability.histogram import Histogram
from server.observability.recorder import Recorder
from server.shelf import DatabaseHealth

FINISHED = ("stop", "length")
UNFINISHED = ("cancelled", "deadline", "failed")
REFUSED = ("queue", "client", "unavailable")
"""The values of labels. All exist from the beginning, so rates start from zero."""


class EngineCollector(Collector):
    """Collects the state of an engine and the counts of its recorder, with the model's name as a label."""

    def __init__(self, engine: AnyEngine, recorder: Recorder) -> None:
        self._engine = engine
        self._recorder = recorder
        self._model = engine.bundle.manifest.name

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        engine, recorder = self._engine, self._recorder
        rows = engine.config.rows * engine.replicas
        for name, help, value in (
            ("num_requests_running", "Sequences in prefill or decode.", engine.running),
            ("num_requests_waiting", "Requests in the queue.", engine.queued),
            ("kv_cache_usage_perc", "The share of the rows' KV cache in use, from 0 to 1.", engine.cache_usage),
            ("rows", "Sequences that can run at once; a guided one counts as two.", rows),
            ("ready", "1 while the server accepts requests for text, otherwise 0.", engine.ready),
        ):
            family = GaugeMetricFamily(f"plotify:{name}", help, labels=["model_name"])
            family.add_metric([self._model], float(value))
            yield family
        for name, help, total in (
            ("prompt_tokens", "Tokens of prompts, including cached ones.", recorder.prompt_tokens),
            ("generation_tokens", "Tokens generated.", engine.generated),
            ("prefix_cache_queries", "Tokens of prompts looked up in the prefix cache.", recorder.cache_queries),
            ("prefix_cache_hits", "Tokens of prompts found in the prefix cache.", recorder.cache_hits),
            ("engine_steps", "Steps of the engine. Each generates a token of every running sequence.", engine.steps),
            ("engine_seconds", "Seconds in steps.", engine.seconds),
            ("model_seconds", "Seconds in the model, within steps.", engine.model_seconds),
            ("engine_restarts", "Times that the model failed and was loaded again.", engine.restarts),
        ):
            yield self._counter(name, help, [], {(): total})
        ended, refused = recorder.finished_for, recorder.refused_for
        for name, help, label, values, counts in (
            ("request_success", "Continuations that were completed.", "finished_reason", FINISHED, ended),
            ("request_unfinished", "Continuations that were not completed.", "reason", UNFINISHED, ended),
            ("refusals", "Requests refused for now.", "reason", REFUSED, refused),
        ):
            yield self._counter(name, help, [label], {(value,): counts[value] for value in values})
        for name, help, histogram in (
            ("time_to_first_token", "Seconds to the first token (TTFT).", recorder.time_to_first_token),
            ("inter_token_latency", "Seconds between tokens (ITL).", recorder.inter_token_latency),
            ("e2e_request_latency", "Seconds to the end, for any reason.", recorder.spent["whole"]),
            ("request_queue_time", "Seconds in the queue.", recorder.spent["queue"]),
            ("request_prefill_time", "Seconds from the queue to the first token.", recorder.spent["prefill"]),
            ("request_decode_time", "Seconds from the first token to the last.", recorder.spent["decode"]),
        ):
            durations = HistogramMetricFamily(f"plotify:{name}_seconds", help, labels=["model_name"])
            durations.add_metric([self._model], _buckets(histogram), histogram.total)
            yield durations

    def _counter(self, name: str, help: str, labels: list[str], totals: Mapping[tuple[str, ...], float]) -> Metric:
        family = CounterMetricFamily(f"plotify:{name}", help, labels=["model_name", *labels])
        for values, total in totals.items():
            family.add_metric([self._model, *values], float(total))
        return family


class HttpCollector(Collector):
    """Counts HTTP requests. Belongs to one event loop.

    answered: requests with a response, by method, route and status. streams: open event streams.
    """

    def __init__(self) -> None:
        self.answered: Counter[tuple[str, str, int]] = Counter()
        self.streams = 0

    def collect(self) -> Iterator[Metric]:
        """Yield both metrics."""
        answered = CounterMetricFamily(
            "plotify:http_requests", "HTTP requests answered, by route.", labels=["method", "handler", "status"]
        )
        for (method, route, status), count in self.answered.items():
            answered.add_metric([method, route, str(status)], float(count))
        yield answered
        yield GaugeMetricFamily("plotify:event_streams", "Open event streams.", float(self.streams))


class DatabaseCollector(Collector):
    """Collects the health of the shelf's database."""

    def __init__(self, health: DatabaseHealth) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        """Yield both metrics."""
        yield GaugeMetricFamily(
            "plotify:database_ready",
            "1 while the shelf's database works, 0 from a failure until a check succeeds.",
            float(not self._health.failing),
        )
        yield CounterMetricFamily(
            "plotify:database_failures",
            "Transactions that failed because of the shelf's database.",
            float(self._health.failures),
        )


class AppRegistry(CollectorRegistry):
    """Collects metrics, with the app's name as a label if it has one."""

    def __init__(self, app: str) -> None:
        super().__init__()
        self._labels = {"app": app} if app else {}

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        for metric in super().collect():
            metric.samples = [sample._replace(labels=sample.labels | self._labels) for sample in metric.samples]
            yield metric


def new_registry(*collectors: Collector, app: str = "") -> CollectorRegistry:
    """Return a registry of these collectors and the metrics of this process.

    app: the name of this app, if there are several.
    """
    registry = AppRegistry(app)
    for collector in collectors:
        registry.register(collector)
    ProcessCollector(registry=registry)
    return registry


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Return cumulative buckets, as Prometheus counts."""
    bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
    return list(zip(bounds, map(float, accumulate(histogram.counts)), strict=True))
