"""`plotify serve --replicas`: Ray, Ray Serve and the app, for as long as the command runs."""

import dataclasses
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

# Read when Ray is imported. Replicas are called by gRPC, which takes half of the time that Ray's object store takes for
# streams.
os.environ.setdefault("RAY_SERVE_USE_GRPC_BY_DEFAULT", "1")

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.config import ProxyLocation
from ray.serve.exceptions import RayServeException
from ray.serve.schema import LoggingConfig

from server.bundle import Bundle
from server.cluster.deployments import deployments
from server.settings import Settings

NAME = "plotify"
"""Of the application, for Ray Serve."""


def run(settings: Settings, listener: socket.socket, told: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT; then what is under way comes to its end, within the grace of the settings.

    listener: bound to the address that is served, where Ray's proxy listens; see `share`. told: is called with the
    model's name, once the app answers. Ray runs on this machine, or where RAY_ADDRESS says.

    Raises BundleError, and RuntimeError where Ray or a deployment does not start.
    """
    cores, address = os.cpu_count() or 1, os.environ.get("RAY_ADDRESS", "local")
    settings = dataclasses.replace(
        settings,
        # Where Ray runs already, its processes have another working directory.
        model=settings.model.absolute(),
        keys_file=str(Path(settings.keys_file).absolute()) if settings.keys_file else "",
        threads=settings.threads or max(1, cores // settings.replicas),
    )
    bundle = Bundle.load(settings.model)
    if settings.precision != "auto":
        bundle.model_file(settings.precision)  # said at once, and not by a process of Ray
    stopping = threading.Event()
    if address == "local":
        # More than there are, where replicas are to share cores: Ray would wait for them.
        cpus = max(cores, settings.threads * settings.replicas)
        ray.init(address, num_cpus=cpus, include_dashboard=False, logging_level=logging.WARNING)
    else:
        ray.init(address, logging_level=logging.WARNING)
    for number in (signal.SIGTERM, signal.SIGINT):  # Ray has handlers of its own, which do not wait
        signal.signal(number, lambda *_: stopping.set())
    try:
        host, port = listener.getsockname()[:2]
        if address == "local":
            share(listener)
        else:
            listener.close()  # the proxy is another user's process, or on another machine
        quiet = LoggingConfig(log_level="WARNING", enable_access_log=False)
        serve.start(
            proxy_location=ProxyLocation.HeadOnly, http_options={"host": host, "port": port}, logging_config=quiet
        )
        app = serve.run(deployments(settings), name=NAME, logging_config=quiet)
        told(bundle.manifest.name)
        stopping.wait()
        stopping.clear()  # a second signal does not wait
        deadline = time.monotonic() + settings.grace
        with suppress(RayError, RayServeException, TimeoutError):  # nothing is left where the app is gone
            while app.drain.remote().result(timeout_s=5) and time.monotonic() < deadline and not stopping.wait(0.1):
                pass
    finally:
        if address == "local":
            serve.shutdown()  # type: ignore[no-untyped-call]
        else:
            serve.delete(NAME)
        ray.shutdown()


def share(listener: socket.socket) -> None:
    """Keeps a port that is bound, and lets another process of the same user listen there, with SO_REUSEPORT as Ray's.

    Were it closed, anybody could be given the port until the proxy has started: Ray opens dozens meanwhile.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
