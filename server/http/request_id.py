"""The id of a request, in its response, its log lines, and the engine's requests."""

import random
import re
from contextvars import ContextVar

HEADER = "X-Request-Id"

WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the current request; empty outside of requests."""


def identify(given: str) -> str:
    """Return the client's id of its request if it is well formed, or else 64 random bits."""
    return given if WELL_FORMED.fullmatch(given) else f"{random.getrandbits(64):016x}"
