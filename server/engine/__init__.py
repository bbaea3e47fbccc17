"""The engine: a prompt and its sampling in, a stream of tokens out. No web code in it."""

from server.engine.engine import Engine
from server.engine.errors import (
    ClientBusy,
    DeadlineExceeded,
    EngineBusy,
    EngineClosed,
    EngineError,
    InvalidRequest,
    PromptTooLong,
)
from server.engine.interface import AnyEngine, EngineState
from server.engine.request import Request, Sampling
from server.engine.stats import Observer, SequenceStats, StepStats
from server.engine.stream import Chunk, FinishReason, Item, Stream, merged

__all__ = [
    "AnyEngine",
    "Chunk",
    "ClientBusy",
    "DeadlineExceeded",
    "Engine",
    "EngineBusy",
    "EngineClosed",
    "EngineError",
    "EngineState",
    "FinishReason",
    "InvalidRequest",
    "Item",
    "Observer",
    "PromptTooLong",
    "Request",
    "Sampling",
    "SequenceStats",
    "StepStats",
    "Stream",
    "merged",
]
