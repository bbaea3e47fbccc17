"""Chooses the replica that has prefilled a request's prompt, unless others have much less to do."""

import random
from collections import OrderedDict
from collections.abc import Collection, Mapping

from server.engine import Request

REMEMBERED = 65_536
"""The number of prefixes to remember, many times what the engines' prefix caches hold."""

SLACK = 16
"""The most rows above the least loaded replica for a replica with the prefix."""


class Prefixes:
    """The last replica to prefill each prefix. Not thread-safe."""

    def __init__(self) -> None:
        self._replicas: OrderedDict[int, str] = OrderedDict()

    def replica(self, keys: list[int], among: set[str]) -> str | None:
        """Return the replica with the longest of these prefixes; None if none of them has any."""
        found = (self._replicas.get(key) for key in reversed(keys))
        return next((replica for replica in found if replica in among), None)

    def note(self, keys: list[int], replica: str) -> None:
        """Remember the replica for these prefixes."""
        for key in keys:
            self._replicas[key] = replica
            self._replicas.move_to_end(key)
        while len(self._replicas) > REMEMBERED:
            self._replicas.popitem(last=False)


class Router:
    """Chooses replicas. Not thread-safe. block_size: tokens in a block of the engines' prefix caches."""

    def __init__(self, block_size: int, slack: int = SLACK) -> None:
        self._block_size = block_size
        self._slack = slack
        self._prefixes = Prefixes()

    def choose(self, request: Request, rows: Mapping[str, int], avoid: Collection[str] = ()) -> str:
        """Return the replica for a request, with token ids as its prompt.

        rows: the cache rows in use or in the queue of each replica, by its id. avoid: ids of replicas that could not
        finish the request.
        """
        keys, most = self._keys(request), min(rows.values()) + self._slack
        near = {replica for replica in rows if rows[replica] <= most} - set(avoid)
        # Of equal ones any, because other apps choose at the same time.
        least = min(rows, key=lambda replica: (replica in avoid, rows[replica], random.random()))
        chosen = self._prefixes.replica(keys, near) or least
        self._prefixes.note(keys, chosen)
        return chosen

    def _keys(self, request: Request) -> list[int]:
        """Return a hash of the client and each prefix of whole blocks of the prompt, the shortest first."""
        prompt, size = request.prompt, self._block_size
        assert not isinstance(prompt, str)
        keys, key = [], hash(request.client)
        for end in range(size, len(prompt) + 1, size):
            key = hash((key, *prompt[end - size : end]))
            keys.append(key)
        return keys
