"""Routes a request to the replica with its client's prefix, unless others have much less to do."""

from collections import Counter, OrderedDict

from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from server.cluster.replica import RemoteRequest

REMEMBERED = 65_536
"""The number of prefixes to remember, many times what the engines' prefix caches hold."""


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


class PrefixRouter(RequestRouter):
    """Ray Serve's interface for routers: it returns replicas in the order to try them."""

    def initialize_state(self, slack: int = 16, **_: object) -> None:
        """Set up. slack: the most rows above the least loaded replica for a replica with the prefix."""
        self._slack = slack
        self._prefixes = Prefixes()
        self._rows: Counter[str] = Counter()
        self._taken: dict[str, tuple[str, int]] = {}

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Return the chosen replica, then the others, the least loaded first."""
        replicas = {replica.replica_id.unique_id: replica for replica in candidate_replicas}
        ranked = sorted(replicas, key=lambda replica: self._rows[replica])
        remote = _remote(pending_request)
        if ranked and pending_request is not None and remote is not None:
            ranked.sort(key=lambda replica: replica in remote.avoid)
            id = pending_request.metadata.internal_request_id
            self._release(id)  # Ray Serve may ask again for the same request
            most = min(self._rows[replica] for replica in ranked) + self._slack
            near = {replica for replica in ranked if self._rows[replica] <= most} - set(remote.avoid)
            chosen = self._prefixes.replica(_keys(remote), near) or ranked[0]
            ranked.sort(key=lambda replica: replica != chosen)
            # Count it now, so that requests routed before it is sent see it.
            self._take(id, chosen, remote)
            pending_request.future.add_done_callback(lambda sent: self._release(id) if sent.cancelled() else None)
        return [[replicas[replica]] for replica in ranked]

    def on_request_routed(self, pending_request: PendingRequest, replica_id: ReplicaID, result: object) -> None:
        """Move the request's rows to its actual replica, in case it is not the chosen one."""
        remote = _remote(pending_request)
        if remote is not None:
            id = pending_request.metadata.internal_request_id
            self._release(id)
            self._take(id, replica_id.unique_id, remote)

    def on_request_completed(self, replica_id: ReplicaID, internal_request_id: str) -> None:
        """Free the request's rows."""
        self._release(internal_request_id)

    def _take(self, id: str, replica: str, remote: RemoteRequest) -> None:
        self._prefixes.note(_keys(remote), replica)
        self._rows[replica] += remote.rows
        self._taken[id] = replica, remote.rows

    def _release(self, id: str) -> None:
        if id in self._taken:
            replica, rows = self._taken.pop(id)
            self._rows[replica] -= rows
            if not self._rows[replica]:
                del self._rows[replica]


def _remote(pending: PendingRequest | None) -> RemoteRequest | None:
    first = pending.args[0] if pending is not None and pending.args else None
    return first if isinstance(first, RemoteRequest) else None


def _keys(remote: RemoteRequest) -> list[int]:
    """Return a hash of the client and each prefix of whole blocks of the prompt, the shortest first."""
    prompt, size = remote.request.prompt, remote.block_size
    assert not isinstance(prompt, str)
    keys, key = [], hash(remote.request.client)
    for end in range(size, len(prompt) + 1, size):
        key = hash((key, *prompt[end - size : end]))
        keys.append(key)
    return keys
