"""Traces for an OpenTelemetry collector, over HTTP: https://opentelemetry.io/docs/specs/otlp/

Each request has a span, within its client's trace if the request names one (https://www.w3.org/TR/trace-context/).
Below it are spans for the phases of each continuation: queue, prefill, decode. Attributes have the names of
OpenTelemetry's semantic conventions. This module needs the extra `otel`, so it is imported only if traces are on.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from server.engine import EngineBusy, Observer, SequenceStats
from server.http.request_id import request_id

TIMEOUT = 2
"""The collector's time limit in seconds. Later spans are lost."""

WATCHING = ("/healthz", "/readyz", "/metrics", "/status", "/static/")
"""Paths without spans, because they are requested all the time."""


class Tracer(Observer):
    """Traces requests and one engine. endpoint: the collector's address, without the path for traces."""

    def __init__(self, endpoint: str, model: str) -> None:
        resource = Resource.create(
            {"service.name": "plotify", "service.version": version("plotify"), "gen_ai.request.model": model}
        )
        # The app shuts it down itself, while the event loop still runs.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=TIMEOUT)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("plotify")
        self._parents: dict[SequenceStats, Context] = {}

    @contextmanager
    def request(self, path: str, headers: Mapping[str, str]) -> Iterator[None]:
        """Trace a request as a span. Call `answered` before its end."""
        if path.startswith(WATCHING):
            yield
            return
        # An empty context leaves out baggage and any span of this task.
        parent = TraceContextTextMapPropagator().extract(headers, Context())
        with self._tracer.start_as_current_span(
            "request", parent, trace.SpanKind.SERVER, record_exception=False, set_status_on_exception=False
        ):
            yield

    def answered(self, method: str, route: str, status: int) -> None:
        """Name the span of the current request, after its response."""
        span = trace.get_current_span()
        span.update_name(f"{method} {route}")
        span.set_attributes(
            {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                "plotify.request_id": request_id.get(),
            }
        )
        if status >= 500:
            span.set_status(trace.StatusCode.ERROR)

    def queued(self, all_stats: list[SequenceStats]) -> None:
        """Remember the span of their request."""
        context = get_current()
        self._parents |= dict.fromkeys(all_stats, context)

    def refused(self, all_stats: list[SequenceStats], error: EngineBusy) -> None:
        """Forget them."""
        for stats in all_stats:
            self._parents.pop(stats, None)

    def finished(self, stats: SequenceStats) -> None:
        """Add spans for the completed phases of a sequence."""
        context = self._parents.pop(stats, None)
        if context is None:
            return
        epoch = time.time() - time.monotonic()
        times = [at for at in (stats.queued_at, stats.scheduled_at, stats.first_token_at) if not math.isnan(at)]
        ends = [*times[1:], stats.finished_at]
        for name, start, end in zip(("queue", "prefill", "decode"), times, ends, strict=False):
            span = self._tracer.start_span(name, context, start_time=int((start + epoch) * 1e9))
            if end == stats.finished_at:
                span.set_attribute("gen_ai.usage.input_tokens", stats.prompt_tokens)
                span.set_attribute("gen_ai.usage.output_tokens", stats.generated)
                span.set_attribute("gen_ai.response.finish_reasons", [stats.status.value])
            span.end(int((end + epoch) * 1e9))

    def close(self) -> None:
        """Send the remaining spans."""
        self._provider.shutdown()
