"""The figures and charts of the page /status and of its event stream."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version

from server.observability.histogram import Histogram
from server.observability.history import SECONDS, History, Sample

WIDTH, HEIGHT = 300, 60
"""The size of a chart, in its own units; a second is one unit wide."""

STEP = 5
"""Seconds for each point of a line."""

RECENT = 10
"""Seconds in the average of the current tokens per second."""

STATES = {
    "ready": "Ready",
    "restarting": "Restarting: the model failed and is being loaded again",
    "draining": "Stopping: running requests are being completed",
    "closed": "Stopped",
}

Value = float | None
Show = Callable[[float], str]


@dataclass(frozen=True)
class Chart:
    """A line chart of the last minutes. top: the value at its upper edge, as text.

    line: an SVG path, with gaps where there is no value.
    """

    id: str
    label: str
    top: str
    line: str


@dataclass(frozen=True)
class StatusView:
    """Values by their ids on the page, and the charts."""

    values: dict[str, str]
    charts: list[Chart]


def status_view(history: History) -> StatusView:
    """Return the current values and charts."""
    engine, recorder = history.engine, history.recorder
    last = history.samples[-1]
    samples = [sample for sample in history.samples if last.at - sample.at <= SECONDS]
    first = samples[0]
    recent = next(sample for sample in samples if last.at - sample.at <= RECENT)
    values = {
        "state": STATES[engine.state],
        "running": f"{last.running} of {engine.config.rows * engine.replicas}",
        "waiting": _number(last.queued),
        "speed": _number(_rate(recent, last) or 0.0),
        "cache": f"{last.cache:.0%}",
        "refused": _number(last.refused),
        "unfinished": _number(last.unfinished),
        "restarts": _number(engine.restarts),
        "memory": "unknown" if last.memory is None else _megabytes(last.memory),
        "uptime": str(timedelta(seconds=int(last.at - history.started))),
        "time": time.strftime("%H:%M:%S UTC", time.gmtime()),
    }
    for name, histogram, counts in (
        ("first", recorder.time_to_first_token, _since(first.time_to_first_token, last.time_to_first_token)),
        ("between", recorder.inter_token_latency, _since(first.inter_token_latency, last.inter_token_latency)),
    ):
        for share in (50, 95):
            value = histogram.quantile(share / 100, counts)
            values[f"{name}-p{share}"] = "–" if value is None else _milliseconds(value)
    return StatusView(values, _charts(history, samples))


def constants(history: History) -> dict[str, str]:
    """Return the values for the whole life of the server."""
    engine = history.engine
    return {
        "model": engine.bundle.manifest.name,
        "precision": engine.precision,
        "device": engine.device,
        "version": version("plotify"),
    }


def _charts(history: History, samples: Sequence[Sample]) -> list[Chart]:
    recorder, end = history.recorder, samples[-1].at
    # Pieces of the history, the newest last; each begins with the last sample of the piece before.
    pieces = [samples[max(at - STEP, 0) : at + 1] for at in range(len(samples) - 1, 0, -STEP)][::-1]
    ages = [end - piece[-1].at for piece in pieces]

    def chart(id: str, label: str, values: list[Value], show: Show, least: float) -> Chart:
        top = max([least, *(value for value in values if value is not None)])
        return Chart(id, label, show(top), _line(ages, values, top))

    def most(count: Callable[[Sample], float]) -> list[Value]:
        return [max(map(count, piece[1:])) for piece in pieces]

    def slow(histogram: Histogram, counts: Callable[[Sample], tuple[int, ...]]) -> list[Value]:
        return [histogram.quantile(0.95, _since(counts(piece[0]), counts(piece[-1]))) for piece in pieces]

    first = slow(recorder.time_to_first_token, lambda sample: sample.time_to_first_token)
    between = slow(recorder.inter_token_latency, lambda sample: sample.inter_token_latency)
    return [
        chart("speed-line", "Tokens per second", [_rate(piece[0], piece[-1]) for piece in pieces], _number, 1),
        chart("running-line", "Running", most(lambda sample: sample.running), _number, 1),
        chart("waiting-line", "Queued", most(lambda sample: sample.queued), _number, 1),
        chart("first-line", "First token, p95", first, _milliseconds, 0.001),
        chart("between-line", "Between tokens, p95", between, _milliseconds, 0.001),
        chart("cache-line", "Cache in use", most(lambda sample: sample.cache), "{:.0%}".format, 0.01),
    ]


def _line(ages: Sequence[float], values: Sequence[Value], top: float) -> str:
    pieces, drawing = [], False
    for age, value in zip(ages, values, strict=True):
        if value is not None:
            place = f"{WIDTH * (1 - age / SECONDS):.0f} {HEIGHT * (1 - value / top):.1f}"
            # A segment of no length makes a single point a dot.
            pieces.append(f"L{place}" if drawing else f"M{place}h0")
        drawing = value is not None
    return "".join(pieces)


def _rate(before: Sample, after: Sample) -> float | None:
    seconds = after.at - before.at
    return (after.generated - before.generated) / seconds if seconds else None


def _since(before: tuple[int, ...], after: tuple[int, ...]) -> list[int]:
    return [now - then for then, now in zip(before, after, strict=True)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def _milliseconds(seconds: float) -> str:
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"
