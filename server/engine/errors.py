"""What can go wrong in the engine, by who can do something about it."""


class EngineError(Exception):
    """The engine could not finish a request; other requests are not affected."""


class DeviceError(EngineError):
    """The device that was asked for cannot be computed on; the message says what is missing and what to do."""


class EngineBusy(EngineError):
    """The queue is full; the same request may be submitted again, best after `retry_after` seconds."""

    retry_after = 5


class InvalidRequest(ValueError):
    """The request can never be served as it stands."""


class PromptTooLong(InvalidRequest):
    """The prompt leaves no room in the model's context. `tokens` it has, `limit` tokens are the most."""

    def __init__(self, tokens: int, limit: int) -> None:
        super().__init__(f"the prompt is {tokens} tokens long, this model reads at most {limit}; shorten it")
        self.tokens = tokens
        self.limit = limit
