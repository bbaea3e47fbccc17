"""The proxy's choice of an app: the one of the Cookie, unless it cannot be reached."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from ray.serve.experimental.consistent_hash_router import ConsistentHashRouter

from server.cluster import app_router
from server.cluster.app_router import AppRouter

pytestmark = pytest.mark.anyio


class Channel:
    """A gRPC channel that gets ready, or never does."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.ready.set()

    async def channel_ready(self) -> None:
        await self.ready.wait()


class Proxy:
    """A proxy with two apps, `one` before `two` for every request."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.channels = {name: Channel() for name in ("one", "two")}
        apps = [SimpleNamespace(replica_id=name, stub=None, _channel=each) for name, each in self.channels.items()]

        async def ranked(*_: object) -> list[list[Any]]:
            return [[app] for app in apps]

        monkeypatch.setattr(ConsistentHashRouter, "__init__", lambda _: None)
        monkeypatch.setattr(ConsistentHashRouter, "choose_replicas", ranked)
        monkeypatch.setattr(app_router, "CONNECT", 0.01)
        self._router = AppRouter()

    async def order(self, by_reference: bool = False) -> list[str]:
        request: Any = SimpleNamespace(metadata=SimpleNamespace(_by_reference=by_reference))
        ranks: list[list[Any]] = await self._router.choose_replicas([], request)
        return [app.replica_id for (app,) in ranks]


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Proxy:
    return Proxy(monkeypatch)


async def test_an_app_that_can_be_reached_keeps_its_requests(proxy: Proxy) -> None:
    proxy.channels["two"].ready.clear()
    assert await proxy.order() == ["one", "two"]


async def test_another_takes_them_until_it_can_be_reached_again(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy.channels["one"].ready.clear()
    assert await proxy.order() == ["two", "one"]
    monkeypatch.setattr(app_router, "CONNECT", 3600)
    assert await proxy.order() == ["two", "one"], "it waits only once"
    proxy.channels["one"].ready.set()
    assert await proxy.order() == ["one", "two"]


async def test_the_order_stays_if_none_can_be_reached_or_grpc_is_not_used(proxy: Proxy) -> None:
    for channel in proxy.channels.values():
        channel.ready.clear()
    assert await proxy.order() == ["one", "two"]
    proxy.channels["two"].ready.set()
    assert await proxy.order(by_reference=True) == ["one", "two"]
