"""What operators watch, for Prometheus: https://prometheus.io/docs/instrumenting/exposition_formats/

Names are vLLM's, where it has the same, with `plotify:` before them. docs/metrics.md is the table of them; a test keeps
it and this module in agreement.
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

FINISHED = ("stop", "length")
UNFINISHED = ("cancelled", "deadline", "failed")
REFUSED = ("queue", "client", "unavailable")
"""The values of labels, all of which are there from the beginning, so that a rate has a zero to start from."""


class EngineCollector(Collector):
    """What an engine says of itself, and what was recorded of it, whenever it is asked for."""

    def __init__(self, engine: AnyEngine, recorder: Recorder) -> None:
        self._engine = engine
        self._recorder = recorder
        self._model = engine.bundle.manifest.name

    def collect(self) -> Iterator[Metric]:
        """Each with the model's name as a label."""
        yield from self._gauges()
        yield from self._counters()
        yield from self._histograms()

    def _gauges(self) -> Iterator[Metric]:
        engine = self._engine
        for name, says, value in (
            ("num_requests_running", "Sequences that are being read for or written.", engine.running),
            ("num_requests_waiting", "Requests that wait for their turn.", engine.queued),
            ("kv_cache_usage_perc", "How much of the rows' cache holds tokens, from 0 to 1.", engine.cache_usage),
            (
                "rows",
                "Sequences that can be written at once; a guided one counts as two.",
                engine.config.rows * engine.replicas,
            ),
            ("ready", "1 while requests for text are taken, 0 otherwise.", engine.ready),
        ):
            family = GaugeMetricFamily(f"plotify:{name}", says, labels=["model_name"])
            family.add_metric([self._model], float(value))
            yield family

    def _counters(self) -> Iterator[Metric]:
        engine, recorder = self._engine, self._recorder
        for name, says, total in (
            (
                "prompt_tokens",
                "Tokens of prompts, whether read or kept from before.",
                recorder.prompt_tokens,
            ),
            ("generation_tokens", "Tokens that were written.", engine.generated),
            ("prefix_cache_queries", "Tokens of prompts that were looked for among the kept.", recorder.cache_queries),
            ("prefix_cache_hits", "Those of them that were there.", recorder.cache_hits),
            ("engine_steps", "Steps of the engine: each writes a token of every sequence.", engine.steps),
            ("engine_seconds", "Seconds that these steps took.", engine.seconds),
            ("model_seconds", "Seconds of them that the model's session ran.", engine.model_seconds),
            ("engine_restarts", "How often the model failed and was loaded anew.", engine.restarts),
        ):
            family = CounterMetricFamily(f"plotify:{name}", says, labels=["model_name"])
            family.add_metric([self._model], float(total))
            yield family
        ended, refused = recorder.finished_for, recorder.refused_for
        yield self._by("request_success", "Continuations that came to their end.", "finished_reason", FINISHED, ended)
        yield self._by("request_unfinished", "Continuations that did not.", "reason", UNFINISHED, ended)
        yield self._by("refusals", "Requests that were not taken, for now.", "reason", REFUSED, refused)

    def _by(self, name: str, says: str, label: str, values: tuple[str, ...], counts: Mapping[str, int]) -> Metric:
        family = CounterMetricFamily(f"plotify:{name}", says, labels=["model_name", label])
        for value in values:
            family.add_metric([self._model, value], float(counts.get(value, 0)))
        return family

    def _histograms(self) -> Iterator[Metric]:
        recorder = self._recorder
        for name, says, histogram in (
            ("time_to_first_token", "Seconds until the first token.", recorder.time_to_first_token),
            ("inter_token_latency", "Seconds from one token to the next.", recorder.inter_token_latency),
            ("e2e_request_latency", "Seconds until the end, however it came about.", recorder.spent["whole"]),
            ("request_queue_time", "Seconds until its turn came.", recorder.spent["queue"]),
            ("request_prefill_time", "Seconds from there to the first token.", recorder.spent["prefill"]),
            ("request_decode_time", "Seconds from the first token to the last.", recorder.spent["decode"]),
        ):
            family = HistogramMetricFamily(f"plotify:{name}_seconds", says, labels=["model_name"])
            family.add_metric([self._model], _buckets(histogram), histogram.total)
            yield family


class HttpCollector(Collector):
    """What is counted where requests come in. Belongs to one event loop.

    answered: requests that have had their answer, by method, route and status. streams: event streams that are open.
    """

    def __init__(self) -> None:
        self.answered: Counter[tuple[str, str, int]] = Counter()
        self.streams = 0

    def collect(self) -> Iterator[Metric]:
        """Both."""
        answered = CounterMetricFamily(
            "plotify:http_requests", "Requests that were answered, by route.", labels=["method", "handler", "status"]
        )
        for (method, route, status), count in self.answered.items():
            answered.add_metric([method, route, str(status)], float(count))
        yield answered
        yield GaugeMetricFamily("plotify:event_streams", "Event streams that are open.", float(self.streams))


def new_registry(*collectors: Collector) -> CollectorRegistry:
    """Their metrics, and those of this process."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    ProcessCollector(registry=registry)
    return registry


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """As Prometheus counts: those up to a bound, with those of the buckets before."""
    bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
    return list(zip(bounds, map(float, accumulate(histogram.counts)), strict=True))
