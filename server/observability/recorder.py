"""Counts what the engine does, and logs what became of its requests."""

import logging
import math
import threading
from collections import Counter

from server.engine import EngineBusy, Life, Observer, Step
from server.observability.histogram import STEPS, WAITS, Histogram

logger = logging.getLogger(__name__)

SLOW = 30.0
"""Seconds after which a continuation that ended well is worth a line at info."""


class Recorder(Observer):
    """Watches one engine. Times are in seconds.

    spent: on continuations that have ended, in the queue, reading the prompt, writing, and in all, as far as they came.
    ended_for: how many have, by why; refused_for: how many requests were not taken, by why. prompt_tokens, looked_up,
    reused: as `Step` has them.
    """

    def __init__(self) -> None:
        self.first_token = Histogram(WAITS)
        self.between_tokens = Histogram(STEPS)
        self.spent = {name: Histogram(WAITS) for name in ("queue", "prefill", "decode", "whole")}
        self.ended_for: Counter[str] = Counter()
        self.refused_for: Counter[str] = Counter()
        self.prompt_tokens = self.looked_up = self.reused = 0
        self._lock = threading.Lock()

    def refused(self, lives: list[Life], error: EngineBusy) -> None:
        """Counts a request, however many continuations it asked for."""
        with self._lock:
            self.refused_for[error.cause] += 1

    def stepped(self, step: Step) -> None:
        """Counts tokens, and how long they were waited for."""
        self.prompt_tokens += step.prompt_tokens
        self.looked_up += step.looked_up
        self.reused += step.reused
        for life in step.firsts:
            self.first_token.add(life.first - life.submitted)
        for interval in step.intervals:
            self.between_tokens.add(interval)

    def ended(self, life: Life) -> None:
        """Counts a continuation, and where its time went."""
        spent = {
            "queue": life.began - life.submitted,
            "prefill": life.first - life.began,
            "decode": life.last - life.first,
            "whole": life.ended - life.submitted,
        }
        known = {name: seconds for name, seconds in spent.items() if not math.isnan(seconds)}
        with self._lock:
            self.ended_for[str(life.reason)] += 1
            for name, seconds in known.items():
                self.spent[name].add(seconds)
        if life.reason in ("failed", "deadline"):
            level = logging.WARNING
        else:
            level = logging.INFO if spent["whole"] > SLOW else logging.DEBUG
        if logger.isEnabledFor(level):
            fields: dict[str, object] = {
                "reason": life.reason,
                "prompt_tokens": life.prompt_tokens,
                "tokens": life.tokens,
            }
            fields |= {f"{name}_ms": round(seconds * 1000, 1) for name, seconds in known.items()}
            told = ", ".join(f"{name} {value}" for name, value in fields.items())
            logger.log(level, "continuation ended: %s", told, extra={"request_id": life.request, "fields": fields})
