"""Logs: one line for each thing that happened, to stderr, as text or as JSON.

What was asked for and what was written is in none, nor a key; tests hold to that at every level.
"""

import json
import logging
import logging.config
import re
import time
from typing import Any

from server.http.request_id import request_id

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""What would let a client write lines of its own."""


class RequestFilter(logging.Filter):
    """Adds the request to records that do not name theirs, as those of the engine's thread do."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets all pass."""
        if not hasattr(record, "request_id"):
            record.request_id = request_id.get()
        return True


class TextFormatter(logging.Formatter):
    """A line to read; behind it the traceback, if there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(request_id)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line."""
        record.request_id = record.__dict__.get("request_id") or "-"
        return CONTROL.sub(lambda found: ascii(found[0])[1:-1], super().formatMessage(record))


class JsonFormatter(logging.Formatter):
    """An object on one line: time (UTC), level, logger, message; where there are any, request_id, fields, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """The line. Fields are those of the record's `fields`."""
        found: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request := record.__dict__.get("request_id"):
            found["request_id"] = request
        found |= record.__dict__.get("fields", {})
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return json.dumps(found, default=str)  # ASCII: also of what is no Unicode text


FORMATTERS: dict[str, type[logging.Formatter]] = {"text": TextFormatter, "json": JsonFormatter}


def configure(level: str, form: str) -> None:
    """From now on, what this server and uvicorn log from `level` on, and warnings of everything else."""
    levels = {"level": level.upper()}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"request": {"()": RequestFilter}},
            "formatters": {"line": {"()": FORMATTERS[form]}},
            "handlers": {
                "stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["request"]},
            },
            "loggers": {"server": levels, "uvicorn": levels},
            "root": {"level": "WARNING", "handlers": ["stderr"]},
        }
    )
