"""Routes a request to the replica whose prefix cache holds its beginning, unless others have much less to do."""

from collections import Counter, OrderedDict
from collections.abc import Sequence

from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from server.cluster.replica import RemoteRequest

BLOCK = 16
"""Tokens: an engine keeps and reuses prompts in blocks of so many, so what is shorter need not stay together."""

REMEMBERED = 65_536
"""Beginnings that are remembered, each of one block more than the one before; many times what the engines keep."""


class Beginnings:
    """Who has read what last. Not thread-safe."""

    def __init__(self) -> None:
        self._reader: OrderedDict[int, str] = OrderedDict()

    def reader(self, prompt: Sequence[int], among: set[str]) -> str | None:
        """Who of those has read the longest beginning of this prompt; None where nobody has read any."""
        return next((who for key in reversed(_keys(prompt)) if (who := self._reader.get(key)) in among), None)

    def note(self, prompt: Sequence[int], reader: str) -> None:
        """Somebody reads this prompt."""
        for key in _keys(prompt):
            self._reader[key] = reader
            self._reader.move_to_end(key)
        while len(self._reader) > REMEMBERED:
            self._reader.popitem(last=False)


class PrefixRouter(RequestRouter):
    """Ray Serve's interface: it asks for replicas in the order in which they are to be tried."""

    def initialize_state(self, slack: int = 16, **_: object) -> None:
        """slack: how many rows more than the least loaded a replica may have taken, to be given what it has read."""
        self._slack = slack
        self._beginnings = Beginnings()
        self._rows: Counter[str] = Counter()
        self._taken: dict[str, tuple[str, int]] = {}

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """The one that is to write it, then the others, the least loaded first."""
        replicas = {replica.replica_id.unique_id: replica for replica in candidate_replicas}
        ranked = sorted(replicas, key=lambda id: self._rows[id])
        remote = _remote(pending_request)
        if remote is not None:
            ranked.sort(key=lambda who: who in remote.avoid)
        if ranked and pending_request is not None and remote is not None:
            id = pending_request.metadata.internal_request_id
            self._release(id)  # it may be asked again
            most = min(map(self._rows.__getitem__, ranked)) + self._slack
            near = {who for who in ranked if self._rows[who] <= most} - set(remote.avoid)
            chosen = self._beginnings.reader(_prompt(remote), near) or ranked[0]
            ranked.sort(key=lambda who: who != chosen)
            # At once, so that who comes before this one is sent sees it.
            self._take(id, chosen, remote)
            pending_request.future.add_done_callback(lambda sent: self._release(id) if sent.cancelled() else None)
        return [[replicas[who]] for who in ranked]

    def on_request_routed(self, pending_request: PendingRequest, replica_id: ReplicaID, result: object) -> None:
        """It may have gone to another replica than the one that was chosen."""
        remote = _remote(pending_request)
        if remote is not None:
            id = pending_request.metadata.internal_request_id
            self._release(id)
            self._take(id, replica_id.unique_id, remote)

    def on_request_completed(self, replica_id: ReplicaID, internal_request_id: str) -> None:
        """The rows are free again."""
        self._release(internal_request_id)

    def _take(self, id: str, who: str, remote: RemoteRequest) -> None:
        self._beginnings.note(_prompt(remote), who)
        self._rows[who] += remote.rows
        self._taken[id] = who, remote.rows

    def _release(self, id: str) -> None:
        if id in self._taken:
            who, rows = self._taken.pop(id)
            self._rows[who] -= rows
            if not self._rows[who]:
                del self._rows[who]


def _remote(pending: PendingRequest | None) -> RemoteRequest | None:
    first = pending.args[0] if pending is not None and pending.args else None
    return first if isinstance(first, RemoteRequest) else None


def _prompt(remote: RemoteRequest) -> Sequence[int]:
    """The token ids of its prompt; remote prompts are never text."""
    prompt = remote.request.prompt
    return () if isinstance(prompt, str) else prompt


def _keys(prompt: Sequence[int]) -> list[int]:
    """A number for each beginning of whole blocks, the shortest first."""
    keys, key = [], 0
    for end in range(BLOCK, len(prompt) + 1, BLOCK):
        key = hash((key, *prompt[end - BLOCK : end]))
        keys.append(key)
    return keys
