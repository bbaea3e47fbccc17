"""Which request this is, from the edge to the engine: in answers, in logs, and in what the engine is asked."""

import re
import secrets
from contextvars import ContextVar

HEADER = "X-Request-Id"

WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""That of the request that is being answered; empty outside of one."""


def identify(given: str) -> str:
    """What the client calls its request, where that is well formed; else a name of 64 random bits."""
    return given if WELL_FORMED.fullmatch(given) else secrets.token_hex(8)
