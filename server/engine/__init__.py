"""The inference engine: prompts and sampling parameters in, streams of tokens out. No web code."""

from server.engine.admission import Admission, choose_seeds
from server.engine.batch import DEFAULT_QUEUE_SECONDS
from server.engine.config import EngineConfig
from server.engine.engine import Engine
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
from server.engine.sampling.sampler import TokenLogprobs
from server.engine.stats import Observer, Observers, SequenceStats, StepStats
from server.engine.stream import Channel, Chunk, FinishReason, Item, Status, Stream, merged
from server.engine.text.tokenizer import Tokenizer

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
    "TokenLogprobs",
    "Tokenizer",
    "choose_seeds",
    "merged",
]
