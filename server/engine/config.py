"""The configuration of an engine."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from server.settings import Settings


@dataclass(frozen=True)
class EngineConfig:
    """The resources and limits of an engine.

    precision: one that the bundle carries; None for its fastest on the device. threads: threads of ONNX Runtime on the
    processor, 0 for one for each physical core; as many threads, or all cores, sample. rows: sequences to run at once;
    a guided one counts as two. kept: prompts to keep in the prefix cache. queue: rows that may be waited for. device:
    "cpu", "cuda", or "auto" for a GPU that can run the model, if there is one. deadline: seconds after which a request
    ends with DeadlineExceeded, time in the queue included. per_client: sequences that one client may have at once,
    queued ones included; 0 for any number. capture: keep decodes on a GPU as CUDA graphs if the model's operators allow
    it.
    """

    precision: str | None = None
    threads: int = 0
    rows: int = 64
    kept: int = 32
    queue: int = 64
    device: str = "auto"
    deadline: float = math.inf
    per_client: int = 0
    capture: bool = True

    @classmethod
    def of(cls, settings: "Settings") -> Self:
        """The configuration that the server's settings ask for."""
        return cls(
            precision=None if settings.precision == "auto" else settings.precision,
            threads=settings.threads,
            rows=settings.rows,
            kept=settings.kept,
            queue=settings.queue,
            device=settings.device,
            deadline=settings.deadline,
            per_client=settings.per_client,
        )
