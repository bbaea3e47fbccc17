"""The configuration of an engine."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from server.settings import Settings

DEFAULT_QUEUE_SECONDS = 5.0
"""The value of `queue_seconds` until the first sequence has ended."""


@dataclass(frozen=True)
class EngineConfig:
    """The resources and limits of an engine.

    Attributes:
        precision: one of the bundle's precisions; None takes the fastest on the device.
        threads: ONNX Runtime's threads on the processor, and the threads for sampling. 0 takes one per physical core,
            and all cores for sampling.
        rows: the most sequences to run at once; a guided one counts as two.
        kept: the most prompts to keep in the prefix cache.
        queue: the most rows that queued requests may need.
        device: "cpu", "cuda", or "auto" for a GPU if there is one and it can run the model, otherwise the processor.
        deadline: the most seconds that a request may take, time in the queue included; then it ends with
            DeadlineExceeded.
        per_client: the most sequences that one client may have at once, queued ones included; 0 for any number.
        capture: keep decodes on a GPU as CUDA graphs if the model's operators allow it.
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
        """Return the configuration given by the server's settings."""
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
