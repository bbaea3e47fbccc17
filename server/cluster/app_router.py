"""The choice of an app for a request, in Ray Serve's proxy."""

import asyncio
from typing import Any

from ray.serve._private.common import ReplicaID
from ray.serve._private.request_router.common import PendingRequest
from ray.serve._private.request_router.replica_wrapper import RunningReplica
from ray.serve.experimental.consistent_hash_router import ConsistentHashRouter

CONNECT = 1.0
"""Seconds for a new connection to an app. gRPC itself would wait for 20."""


class AppRouter(ConsistentHashRouter):
    """Sends all requests with one Cookie to the same app, and to another one if that cannot be reached.

    When a machine is gone, Ray notices only after about 15 seconds. Ray Serve's own router would send requests there
    until then, and each would wait until gRPC gives the connection up.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)  # type: ignore[no-untyped-call]
        self._unreachable: set[ReplicaID] = set()

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Return the apps to try, one after another. Those that cannot be reached come last."""
        ranks = await super().choose_replicas(candidate_replicas, pending_request)
        if pending_request is None or pending_request.metadata._by_reference:  # it does not go by gRPC
            return ranks
        for place, (app, *_) in enumerate(ranks):
            if await self._connected(app):
                return ranks[place:] + ranks[:place]
        return ranks

    async def _connected(self, app: RunningReplica) -> bool:
        """Return True if there is a connection to an app. Wait for it, unless that was in vain before."""
        _ = app.stub  # makes the channel
        channel: Any = app._channel
        waits = 0 if app.replica_id in self._unreachable else CONNECT
        try:
            async with asyncio.timeout(waits):
                await channel.channel_ready()
        except TimeoutError:
            self._unreachable.add(app.replica_id)
            return False
        self._unreachable.discard(app.replica_id)
        return True
