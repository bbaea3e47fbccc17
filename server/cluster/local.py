"""`plotify serve --replicas`: Ray, Ray Serve, apps and replicas, while the command runs."""

import dataclasses
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

# Ray's processes inherit them. Answers go to the proxy by gRPC, which costs less than Ray's object store. Requests with
# the same Cookie go to the same app.
os.environ.setdefault("RAY_SERVE_USE_GRPC_BY_DEFAULT", "1")
os.environ.setdefault("RAY_SERVE_SESSION_ID_HEADER_KEY", "cookie")

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.config import ProxyLocation
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import LoggingConfig

from server.bundle import Bundle
from server.cluster.deployments import deployments
from server.cores import cores
from server.settings import Settings

LOOK, PATIENCE = 5.0, 5.0
"""Seconds between requests to an app while the command runs, and the time limit for the answers."""

LOST = 60.0
"""Seconds without an answer after which the apps are lost. Ray restarts a process much faster."""

NAME = "plotify"
"""The name of the application for Ray Serve."""


def run(settings: Settings, listener: socket.socket, told: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then complete requests within the grace of the settings.

    listener: bound to the address of the server, where Ray's proxy will listen; see `share`. told: called with the
    model's name when an app answers. Ray runs on this machine, or at RAY_ADDRESS.

    Raises BundleError, and RuntimeError if Ray or a deployment does not start, or if all apps are lost and Ray does not
    replace them.
    """
    available, address = cores(), os.environ.get("RAY_ADDRESS", "local")
    settings = dataclasses.replace(
        settings,
        # If Ray is already running, its processes have another working directory.
        model=settings.model.absolute(),
        keys_file=str(Path(settings.keys_file).absolute()) if settings.keys_file else "",
        threads=settings.threads or max(1, available // settings.replicas),
    )
    bundle = Bundle.load(settings.model)
    if settings.precision != "auto":
        bundle.model_file(settings.precision)  # fails here, not in a process of Ray
    stopping = threading.Event()
    if address == "local":
        # At least what the replicas ask for, even if they share cores. Otherwise Ray would wait.
        cpus = max(available, settings.threads * settings.replicas)
        start = partial(ray.init, address, num_cpus=cpus, include_dashboard=False, logging_level=logging.WARNING)
    else:
        start = partial(ray.init, address, logging_level=logging.WARNING)
    try:
        start()
    except Exception as error:  # Ray raises bare ones
        raise RuntimeError(f"Ray does not start: {error}") from error
    for number in (signal.SIGTERM, signal.SIGINT):  # Ray's own handlers don't wait
        signal.signal(number, lambda *_: stopping.set())
    try:
        host, port = listener.getsockname()[:2]
        if address == "local":
            share(listener)
        else:
            listener.close()  # the proxy may have another user or machine
        quiet = LoggingConfig(log_level="WARNING", enable_access_log=False)
        serve.start(
            proxy_location=ProxyLocation.HeadOnly,
            http_options={"host": host, "port": port, "keep_alive_timeout_s": settings.keep_alive},
            logging_config=quiet,
        )
        apps = serve.run(deployments(settings), name=NAME, logging_config=quiet)
        told(bundle.manifest.name)
        answered = time.monotonic()
        while not stopping.wait(LOOK):
            if _answers(apps):
                answered = time.monotonic()
            elif not any(node["Alive"] for node in ray.nodes()):  # type: ignore[no-untyped-call]
                raise RuntimeError("No app answers, because Ray's raylet has died.")
            elif time.monotonic() - answered > LOST:
                raise RuntimeError(f"No app has answered for {LOST:g} seconds, and Ray does not replace them.")
        stopping.clear()  # a second signal ends the wait
        deadline = time.monotonic() + settings.grace
        while _drain(apps) and time.monotonic() < deadline and not stopping.wait(0.1):
            pass
    finally:
        if address == "local":
            serve.shutdown()  # type: ignore[no-untyped-call]
        else:
            serve.delete(NAME)
        ray.shutdown()


def share(listener: socket.socket) -> None:
    """Keep a bound port, but let Ray's proxy, a process of the same user, listen there by SO_REUSEPORT.

    If it were closed, another process could get the port before the proxy starts; Ray opens dozens meanwhile.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def _answers(apps: "DeploymentHandle[Any]") -> bool:
    """Return True if an app answers."""
    try:
        return bool(apps.answer.remote().result(timeout_s=PATIENCE))
    except (RayError, RayServeException, TimeoutError):
        return False


def _drain(apps: "DeploymentHandle[Any]") -> int:
    """Have all apps refuse new requests from now on, and return the number of unfinished requests."""
    try:
        answers = apps.broadcast("drain").results(timeout_s=PATIENCE, return_exceptions=True)
    except (RayError, RayServeException, TimeoutError):  # the apps may be gone already
        return 0
    return sum(answer for answer in answers if isinstance(answer, int))
