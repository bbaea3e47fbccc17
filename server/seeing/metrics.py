"""What operators watch, for Prometheus: https://prometheus.io/docs/instrumenting/exposition_formats/

Names are vLLM's, where it has the same, with `plotify:` before them.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.engine import Engine


def registry(engine: Engine) -> CollectorRegistry:
    """The metrics of one engine and of this process, read whenever they are asked for."""
    found = CollectorRegistry()
    found.register(EngineCollector(engine))
    ProcessCollector(registry=found)
    return found


class EngineCollector(Collector):
    """What an engine says of itself."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        """Each with the model's name as its label."""
        engine = self._engine
        name = engine.bundle.manifest.name
        for gauge, says, value in (
            ("num_requests_running", "Sequences that are being read for or written.", engine.running),
            ("num_requests_waiting", "Requests that wait for their turn.", engine.waiting),
            ("rows", "Sequences that can be written at once; a guided one counts as two.", engine.rows),
            ("ready", "1 while requests for text are taken, 0 otherwise.", engine.ready),
        ):
            family = GaugeMetricFamily(f"plotify:{gauge}", says, labels=["model_name"])
            family.add_metric([name], float(value))
            yield family
        for counter, says, total in (
            ("generation_tokens", "Tokens that were written.", engine.written),
            ("engine_steps", "Steps of the engine: each writes a token of every sequence.", engine.steps),
            ("engine_seconds", "Seconds that these steps took.", engine.seconds),
            ("model_seconds", "Seconds of them that the model's session ran.", engine.model_seconds),
            ("engine_restarts", "How often the model failed and was loaded anew.", engine.restarts),
        ):
            counted = CounterMetricFamily(f"plotify:{counter}", says, labels=["model_name"])
            counted.add_metric([name], float(total))
            yield counted
