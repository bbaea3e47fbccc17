"""Admission: checks requests before they are queued, encodes their prompts and chooses their seeds."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from server.engine.config import EngineConfig
from server.engine.errors import ClientBusy, EngineBusy, InvalidRequest
from server.engine.request import Request, Sampling
from server.engine.text.tokenizer import Tokenizer

MAX_DRAWN_SEED = 999_999
"""Drawn seeds have at most six digits, so people can note them down."""


@dataclass(frozen=True)
class Admission:
    """Checks requests before they are queued.

    Attributes:
        context: the length of the model's context, in tokens.
    """

    config: EngineConfig
    tokenizer: Tokenizer
    context: int

    def encode(self, request: Request, count: int) -> list[list[int]]:
        """Return the token ids of a request's prompts: one, or a guided pair.

        Raises:
            InvalidRequest: the engine can never run `count` continuations of this request at once.
        """
        sampling, rows = request.sampling, self.config.rows
        longest = self.context - min(sampling.max_tokens, 1)
        prompts = [self.tokenizer.encode_prompt(request.prompt, longest)]
        if request.against is not None and sampling.guidance > 1:
            prompts.append(self.tokenizer.encode_prompt(request.against, longest))
        most = rows // len(prompts)
        if not most:
            raise InvalidRequest("a guided request needs two rows, and this engine has only one; configure more rows")
        if not 1 <= count <= most:
            raise InvalidRequest(f"{count} continuations at once: this engine allows 1 to {most} of such a request")
        for name, given in (("openings", request.openings), ("drawn", request.drawn)):
            if given and len(given) != count:
                raise InvalidRequest(f"{name}: {len(given)} for {count} continuations; give one for each")
            if not all(0 <= token < self.tokenizer.size for tokens in given for token in tokens):
                raise InvalidRequest(f"{name}: a token id is outside the vocabulary (0 to {self.tokenizer.size - 1})")
        if any(token >= self.tokenizer.size for token in sampling.logit_bias):
            raise InvalidRequest(f"logit_bias: a token id is outside the vocabulary (0 to {self.tokenizer.size - 1})")
        return prompts

    def check_room(
        self,
        client: str,
        active: int,
        count: int,
        queued_rows: Mapping[str, int],
        free_rows: int,
        queue_seconds: float,
        replicas: int = 1,
    ) -> None:
        """Raise an error if there is no room for a client's `count` more sequences.

        The limit is on the cache rows already queued. The rows of the new request do not count: a large one could
        otherwise never run. Clients can't lock out another one: with nothing queued, it is let in until as many clients
        wait as there are rows, or as `queue` allows if that is more, besides those for whom rows are free.

        Args:
            active: the number of sequences the client already has, queued or running.
            queued_rows: the cache rows needed by queued requests, for each client.
            free_rows: the number of rows without a sequence.
            queue_seconds: becomes the error's hint when to try again.
            replicas: the number of engines, each with a queue as in the config.

        Raises:
            ClientBusy: the client would have more sequences than the config allows.
            EngineBusy: too many rows are queued.
        """
        if 0 < self.config.per_client < active + count:
            raise ClientBusy(f"texts in progress: {self.config.per_client} at most, and you have {active} already")
        most = self.config.queue * replicas
        room = most + free_rows
        if client in queued_rows:
            full = sum(min(rows, room) for rows in queued_rows.values()) >= room
        else:
            full = len(queued_rows) >= max(self.config.rows * replicas, most) + free_rows
        if full:
            raise EngineBusy("too many requests are waiting already", queue_seconds)


def choose_seeds(sampling: Sampling, count: int) -> range:
    """Return `count` consecutive seeds. The first is the sampling's own, or is drawn if that is None."""
    first = secrets.randbelow(MAX_DRAWN_SEED + 2 - count) if sampling.seed is None else sampling.seed
    return range(first, first + count)
