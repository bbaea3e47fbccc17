"""Logs to stderr: a line for each event, as text or as JSON.

No log holds prompts, generated text or keys. Tests check this at every level.
"""

import json
import logging
import re
import time
from typing import Any

from server.http.request_id import request_id

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Characters for forging log lines."""


class RequestFilter(logging.Filter):
    """Adds the request id to records without one. Records of the engine's thread have one."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        if not hasattr(record, "request_id"):
            record.request_id = request_id.get()
        return True


class TextFormatter(logging.Formatter):
    """A line to read, followed by the traceback, if any."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(request_id)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line."""
        record.request_id = record.__dict__.get("request_id") or "-"
        return CONTROL.sub(lambda found: ascii(found[0])[1:-1], super().formatMessage(record))


class JsonFormatter(logging.Formatter):
    """JSON on one line: time (UTC), level, logger, message, and any request_id, fields and exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the record's `fields`."""
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
        return json.dumps(found, default=str)  # ASCII, also for invalid Unicode


FORMATTERS: dict[str, type[logging.Formatter]] = {"text": TextFormatter, "json": JsonFormatter}


def configure(level: str, form: str) -> None:
    """Log this server and uvicorn from `level` on, and warnings of everything else.

    Other handlers stay open, unlike with `dictConfig`. When Ray Serve's controller starts again, it asks each process
    for the file of its log, and replaces those that have none.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(FORMATTERS[form]())
    handler.addFilter(RequestFilter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("server", "uvicorn"):
        logging.getLogger(name).setLevel(level.upper())
