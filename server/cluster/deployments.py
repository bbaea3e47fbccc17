"""What Ray Serve runs: the app in one deployment, replicas of the engine in another."""

import dataclasses
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingContext, RequestRouterConfig
from ray.serve.handle import DeploymentHandle
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from server.app import create_app
from server.cluster.replica import ROWS, Replica
from server.cluster.replicated_engine import ReplicatedEngine
from server.cluster.router import PrefixRouter
from server.observability.logs import configure
from server.settings import Settings

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

MANY = 4096
"""More than the app lets through: it decides who waits, for all replicas, and Ray Serve is not to hold anybody back."""


@serve.ingress()
class App:
    """The one process that answers: plots and offers that are under way are in its memory."""

    # Ray Serve awaits it.
    async def __init__(self, engines: "DeploymentHandle[Any]", settings: Settings) -> None:  # type: ignore[misc]
        configure(settings.log_level, settings.log_format)
        self._settings = settings
        self._engine = await ReplicatedEngine(engines, settings).opened()

    def __serve_build_asgi_app__(self) -> "ASGI3Application":
        """The Litestar app, for Ray Serve, which looks for this name."""
        app: ASGI3Application = create_app(self._engine, self._settings)  # type: ignore[assignment]
        # What uvicorn does for `plotify serve`; here it belongs to Ray Serve, which has no such setting.
        return ProxyHeadersMiddleware(app, self._settings.proxies) if self._settings.proxies else app

    async def drain(self) -> int:
        """Takes no new requests from now on; how many have not ended."""
        self._engine.drain()
        return self._engine.running + self._engine.queued


def application(arguments: Mapping[str, str]) -> Application:
    """What serve.yaml runs: its `args` are settings by their variables, and go before the environment's.

    Numbers of replicas, their autoscaling and what they may take are serve.yaml's to say. Raises SettingsError.
    """
    return deployments(Settings.read({**os.environ, **arguments}))


def deployments(settings: Settings) -> Application:
    """The app, and as many replicas as its settings say, each with its threads."""
    engine_settings = dataclasses.replace(settings, queue=MANY, per_client=0)
    engines = serve.deployment(
        name="Engine",
        num_replicas=settings.replicas,
        max_ongoing_requests=MANY,
        ray_actor_options={"num_cpus": settings.threads or 1},
        health_check_period_s=5,
        health_check_timeout_s=5,
        graceful_shutdown_timeout_s=settings.grace,
        graceful_shutdown_wait_loop_s=0.5,
        request_router_config=RequestRouterConfig.model_validate({"request_router_class": PrefixRouter}),
        max_constructor_retry_count=1,
    )(Replica)
    app = serve.deployment(
        name="App",
        max_ongoing_requests=settings.connections,
        ray_actor_options={"num_cpus": 0},
        graceful_shutdown_timeout_s=settings.grace,
        graceful_shutdown_wait_loop_s=0.5,
        max_constructor_retry_count=1,
    )(App)
    bound: Application = app.bind(engines.bind(engine_settings), settings)
    return bound


def wanted_replicas(context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
    """For Ray Serve's autoscaling: enough for the rows that are taken or waited for.

    `target_ongoing_requests` says how many rows a replica is to have. Rows are counted and not requests, because one
    request may be for many continuations, and a guided one takes two rows for each.
    """
    taken = sum((context.aggregated_metrics or {}).get(ROWS, {}).values())
    assert context.config is not None
    return taken / context.config.get_target_ongoing_requests(), {}
