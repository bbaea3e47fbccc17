"""The inference engine: prompts and sampling parameters in, streams of tokens out. No web code.

`Engine` is imported when it is asked for: it needs Numba, and the app of a cluster draws no token.
"""

from typing import TYPE_CHECKING

from server.engine.admission import Admission, choose_seeds
from server.engine.config import DEFAULT_QUEUE_SECONDS, EngineConfig
from server.engine.errors import (
    ClientBusy,
    DeadlineExceeded,
    EngineBusy,
    EngineClosed,
    EngineError,
    EngineUnavailable,
    InvalidRequest,
    PromptTooLong,
)
from server.engine.interface import AnyEngine, EngineState
from server.engine.request import Request, Sampling
from server.engine.sampling.logprobs import TokenLogprobs
from server.engine.stats import Observer, Observers, SequenceStats, StepStats
from server.engine.stream import Channel, Chunk, FinishReason, Item, Status, Stream, StreamSet, merged
from server.engine.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from server.engine.engine import Engine

__all__ = [
    "DEFAULT_QUEUE_SECONDS",
    "Admission",
    "AnyEngine",
    "Channel",
    "Chunk",
    "ClientBusy",
    "DeadlineExceeded",
    "Engine",
    "EngineBusy",
    "EngineClosed",
    "EngineConfig",
    "EngineError",
    "EngineState",
    "EngineUnavailable",
    "FinishReason",
    "InvalidRequest",
    "Item",
    "Observer",
    "Observers",
    "PromptTooLong",
    "Request",
    "Sampling",
    "SequenceStats",
    "Status",
    "StepStats",
    "Stream",
    "StreamSet",
    "TokenLogprobs",
    "Tokenizer",
    "choose_seeds",
    "merged",
]


def __getattr__(name: str) -> object:
    if name != "Engine":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from server.engine.engine import Engine

    return Engine
