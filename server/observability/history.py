"""The last five minutes of an engine, second by second, for the page /status."""

import os
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from server.engine import AnyEngine
from server.observability.recorder import Recorder

SECONDS = 300
"""The length of the history."""


@dataclass(frozen=True)
class Sample:
    """The state of an engine at one moment. Counts are since its start.

    at: seconds of the monotonic clock. cache: the share in use, from 0 to 1. memory: bytes of the process, None if
    unknown. time_to_first_token, inter_token_latency: the buckets of these histograms.
    """

    at: float
    running: int
    queued: int
    cache: float
    memory: int | None
    generated: int
    refused: int
    unfinished: int
    time_to_first_token: tuple[int, ...]
    inter_token_latency: tuple[int, ...]


class History:
    """Samples of an engine over the last five minutes, if `look` is called each second.

    Belongs to one event loop. samples: the oldest first; there is always one.
    """

    def __init__(self, engine: AnyEngine, recorder: Recorder) -> None:
        self.engine = engine
        self.recorder = recorder
        self.started = time.monotonic()
        self.samples: deque[Sample] = deque(maxlen=SECONDS + 1)
        self.look()

    def look(self) -> None:
        """Take a sample."""
        engine, recorder = self.engine, self.recorder
        ended = recorder.finished_for
        self.samples.append(
            Sample(
                at=time.monotonic(),
                running=engine.running,
                queued=engine.queued,
                cache=engine.cache_usage,
                memory=_resident(),
                generated=engine.generated,
                refused=sum(recorder.refused_for.values()),
                unfinished=ended["failed"] + ended["deadline"],
                time_to_first_token=recorder.time_to_first_token.counts,
                inter_token_latency=recorder.inter_token_latency.counts,
            )
        )


def _resident() -> int | None:
    """Return the bytes of resident memory, from the pages in Linux's proc_pid_statm(5)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
