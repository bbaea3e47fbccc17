"""Admission: which requests an engine takes, and with which prompts and seeds."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from server.engine.config import EngineConfig
from server.engine.errors import ClientBusy, EngineBusy, InvalidRequest
from server.engine.request import Request, Sampling
from server.engine.text.tokenizer import Tokenizer

MAX_DRAWN_SEED = 999_999
"""Seeds that are drawn have at most six digits, so that a person can note one down."""


@dataclass(frozen=True)
class Admission:
    """Checks requests before they are queued. context: the tokens that the model can read."""

    config: EngineConfig
    tokenizer: Tokenizer
    context: int

    def encode(self, request: Request, count: int) -> list[list[int]]:
        """The token ids of a request's prompts: one, or a guided pair.

        Raises InvalidRequest for a request of which `count` continuations can never be served at once.
        """
        sampling, rows = request.sampling, self.config.rows
        longest = self.context - min(sampling.max_tokens, 1)
        prompts = [self.tokenizer.encode_prompt(request.prompt, longest)]
        if request.against is not None and sampling.guidance > 1:
            prompts.append(self.tokenizer.encode_prompt(request.against, longest))
        most = rows // len(prompts)
        if not most:
            raise InvalidRequest("a guided request takes two rows, and this engine has only one; give it more")
        if not 1 <= count <= most:
            raise InvalidRequest(f"{count} continuations at once: this engine writes 1 to {most} of such a request")
        if any(token >= self.tokenizer.size for token in sampling.logit_bias):
            raise InvalidRequest(f"logit_bias: a token id lies outside the vocabulary (0 to {self.tokenizer.size - 1})")
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
        """Raises ClientBusy or EngineBusy if `count` more sequences have no room.

        active: sequences that the client has already. queued_rows: the cache rows that queued requests need, by client.
        free_rows: rows without a sequence. queue_seconds: for the hint when to come back. replicas: engines, each with
        a queue as in the config.

        A request waits for cache rows, and a page takes up to six. One that needs more rows than may be queued is let
        in where a request of one row would be; otherwise it could never run. No clients lock out another: one without
        queued requests is let in until as many clients wait as there are rows (or as may be queued, if that is more).
        """
        if 0 < self.config.per_client < active + count:
            raise ClientBusy(f"you have {active} texts under way, and one may have {self.config.per_client}")
        most = self.config.queue * replicas
        room = most + free_rows
        counted = sum(min(rows, room) for rows in queued_rows.values())
        full = counted >= room if client in queued_rows else len(queued_rows) >= max(self.config.rows * replicas, most)
        if full:
            raise EngineBusy("too many requests are waiting already", queue_seconds)


def choose_seeds(sampling: Sampling, count: int) -> range:
    """`count` consecutive seeds, from the one of the sampling on, or from a drawn one."""
    first = secrets.randbelow(MAX_DRAWN_SEED + 2 - count) if sampling.seed is None else sampling.seed
    return range(first, first + count)
