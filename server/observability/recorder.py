"""Counts the work of an engine, and logs the end of each continuation."""

import logging
import math
import threading
from collections import Counter

from server.engine import EngineBusy, Observer, SequenceStats, Status, StepStats
from server.observability.histogram import STEPS, WAITS, Histogram

logger = logging.getLogger(__name__)

SLOW = 30.0
"""Successful continuations of more seconds than this are logged at info."""


class Recorder(Observer):
    """Counts and times the work of one engine. Times are in seconds.

    spent: the time of finished sequences in the queue, in prefill, in decode, and in all, for the phases they reached.
    finished_for: counts of finished sequences by reason. refused_for: counts of refused requests by cause.
    prompt_tokens, cache_queries, cache_hits: sums over `StepStats`.
    """

    def __init__(self) -> None:
        self.time_to_first_token = Histogram(WAITS)
        self.inter_token_latency = Histogram(STEPS)
        self.spent = {name: Histogram(WAITS) for name in ("queue", "prefill", "decode", "whole")}
        self.finished_for: Counter[str] = Counter()
        self.refused_for: Counter[str] = Counter()
        self.prompt_tokens = self.cache_queries = self.cache_hits = 0
        self._lock = threading.Lock()

    def refused(self, all_stats: list[SequenceStats], error: EngineBusy) -> None:
        """Count a refused request, once for all of its continuations."""
        with self._lock:
            self.refused_for[error.cause] += 1

    def stepped(self, step: StepStats) -> None:
        """Count a step's tokens and their latencies."""
        self.prompt_tokens += step.prompt_tokens
        self.cache_queries += step.cache_queries
        self.cache_hits += step.cache_hits
        for stats in step.first_tokens:
            self.time_to_first_token.add(stats.first_token_at - stats.queued_at)
        for interval in step.inter_token_latencies:
            self.inter_token_latency.add(interval)

    def finished(self, stats: SequenceStats) -> None:
        """Count a finished sequence and the time in each phase."""
        spent = {
            "queue": stats.scheduled_at - stats.queued_at,
            "prefill": stats.first_token_at - stats.scheduled_at,
            "decode": stats.last_token_at - stats.first_token_at,
            "whole": stats.finished_at - stats.queued_at,
        }
        known = {name: seconds for name, seconds in spent.items() if not math.isnan(seconds)}
        with self._lock:
            self.finished_for[stats.status.value] += 1
            for name, seconds in known.items():
                self.spent[name].add(seconds)
        if stats.status in (Status.FAILED, Status.DEADLINE):
            level = logging.WARNING
        else:
            level = logging.INFO if spent["whole"] > SLOW else logging.DEBUG
        if logger.isEnabledFor(level):
            fields: dict[str, object] = {
                "reason": stats.status.value,
                "prompt_tokens": stats.prompt_tokens,
                "tokens": stats.generated,
            }
            fields |= {f"{name}_ms": round(seconds * 1000, 1) for name, seconds in known.items()}
            told = ", ".join(f"{name} {value}" for name, value in fields.items())
            logger.log(level, "continuation ended: %s", told, extra={"request_id": stats.request_id, "fields": fields})
