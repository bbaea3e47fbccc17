"""The messages between an app and a replica, one in each frame."""

from typing import Literal

import msgspec
from msgspec import Struct

from server.engine import Chunk, Request


class Hello(Struct, frozen=True, array_like=True, tag=True):
    """The first message of an app. app: its name."""

    app: str


class RemoteRequest(Struct, frozen=True, array_like=True, tag=True):
    """A request for `count` continuations, with a seed, and with token ids as prompts.

    id: names it among the requests of its app. rows: the cache rows that it takes.
    """

    id: int
    request: Request
    count: int
    rows: int


class Cancel(Struct, frozen=True, array_like=True, tag=True):
    """The readers of some continuations of a request have left. numbers: of these continuations."""

    id: int
    numbers: list[int]


class Failure(Struct, frozen=True, array_like=True):
    """The end of a request by an error.

    id: of the request. number: of a continuation; None for all of them. kind: "lost" if another replica may finish the
    request. message: the text of the error.
    """

    id: int
    number: int | None
    kind: Literal["lost", "deadline", "failed"]
    message: str


class Step(Struct, frozen=True, array_like=True):
    """The new text of all requests of an app, from one step of the engine or from several.

    chunks: each with the id of its request and the number of its continuation. begun: the ids of requests with their
    first text, and the seconds of their prefill.
    """

    chunks: list[tuple[int, int, Chunk]]
    begun: list[tuple[int, float]]
    failures: list[Failure]


AppMessage = Hello | RemoteRequest | Cancel
"""A message from an app to a replica. The replica answers with steps."""

encode = msgspec.msgpack.Encoder().encode
decode_app_message = msgspec.msgpack.Decoder(AppMessage).decode
decode_step = msgspec.msgpack.Decoder(Step).decode
