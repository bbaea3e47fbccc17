"""Ray Serve's deployments: apps in one, replicas of the engine in another."""

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
from server.cluster.app_router import AppRouter
from server.cluster.replica import ROWS, Replica
from server.cluster.replicated_engine import ReplicatedEngine
from server.garbage import collect_less
from server.observability.logs import configure
from server.settings import Settings

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

MANY = 4096
"""More rows than the app admits. The app has the queue, so a replica must not refuse any."""

STARTS = 20
"""The most failed starts on a cluster before Ray Serve gives up.

The database may be there later than the apps. Ray Serve also allows at most three starts for each replica, or as many
as RAY_SERVE_MAX_PER_REPLICA_RETRY_COUNT says.
"""


@serve.ingress()
class App:
    """An app in a process of its own. None is special, but each has the texts of its requests in memory."""

    # Ray Serve awaits it.
    async def __init__(self, engines: "DeploymentHandle[Any]", settings: Settings) -> None:  # type: ignore[misc]
        configure(settings.log_level, settings.log_format)
        self._settings = settings
        self._name = serve.get_replica_context().replica_id.unique_id
        self._engine = await ReplicatedEngine(engines, settings).opened()

    def __serve_build_asgi_app__(self) -> "ASGI3Application":
        """Return the Litestar app. Ray Serve looks for this name."""
        app: ASGI3Application = create_app(self._engine, self._settings, self._name)  # type: ignore[assignment]
        collect_less()
        # For `plotify serve`, uvicorn does this. Here uvicorn belongs to Ray Serve, which has no such setting.
        trusted = self._settings.trusted_proxies
        return ProxyHeadersMiddleware(app, trusted) if trusted else app

    async def answer(self) -> bool:
        """Return True, to show that the app and the way to it work."""
        return True

    async def drain(self) -> int:
        """Refuse new requests from now on, and return the number of unfinished requests."""
        self._engine.drain()
        return self._engine.running + self._engine.queued


def application(arguments: Mapping[str, str]) -> Application:
    """Return the application for serve.yaml.

    arguments: its `args`, settings by variable. They have priority over the environment.
    serve.yaml sets the number of replicas, their autoscaling and their resources. Raises SettingsError.
    """
    return deployments(Settings.read({**os.environ, **arguments}), starts=STARTS)


def deployments(settings: Settings, starts: int = 1) -> Application:
    """Return the apps and the replicas of the engine, as many as the settings say.

    starts: the failed starts after which Ray Serve gives up. All requests with one Cookie go to the same app, because
    the desk keeps offers in progress in memory.
    """
    engine_settings = dataclasses.replace(settings, queue=MANY, per_client=0)
    shared: dict[str, Any] = {
        "graceful_shutdown_timeout_s": settings.grace,
        "graceful_shutdown_wait_loop_s": 0.5,
        "max_constructor_retry_count": starts,
    }
    engines = serve.deployment(
        name="Engine",
        num_replicas=settings.replicas,
        ray_actor_options={"num_cpus": settings.threads or 1},
        health_check_period_s=5,
        health_check_timeout_s=5,
        **shared,
    )(Replica)
    app = serve.deployment(
        name="App",
        num_replicas=settings.apps,
        request_router_config=RequestRouterConfig.model_validate({"request_router_class": AppRouter}),
        max_ongoing_requests=settings.connections,
        ray_actor_options={"num_cpus": 0},
        **shared,
    )(App)
    bound: Application = app.bind(engines.bind(engine_settings), settings)
    return bound


def wanted_replicas(context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
    """Return the replicas for the rows in use and in the queue, for Ray Serve's autoscaling.

    `target_ongoing_requests` is the number of rows for each replica. Rows count instead of requests, because a request
    may have many continuations, and a guided one takes two rows for each.
    """
    taken = sum((context.aggregated_metrics or {}).get(ROWS, {}).values())
    assert context.config is not None
    return taken / context.config.get_target_ongoing_requests(), {}
