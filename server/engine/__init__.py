"""The engine: a prompt and its sampling in, a stream of tokens out. No web code in it."""

from server.engine.engine import Engine
from server.engine.errors import ClientBusy, DeadlineExceeded, EngineBusy, EngineError, InvalidRequest, PromptTooLong
from server.engine.interface import AnyEngine, State
from server.engine.observer import Life, Observer, Step
from server.engine.sampling import Request, Sampling
from server.engine.stream import Chunk, FinishReason, Stream

__all__ = [
    "AnyEngine",
    "Chunk",
    "ClientBusy",
    "DeadlineExceeded",
    "Engine",
    "EngineBusy",
    "EngineError",
    "FinishReason",
    "InvalidRequest",
    "Life",
    "Observer",
    "PromptTooLong",
    "Request",
    "Sampling",
    "State",
    "Step",
    "Stream",
]
