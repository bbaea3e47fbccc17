"""Ray Serve with one replica, to measure the cost of the hop: `plotify serve` with one uses no Ray."""

import socket

from server.cluster import local
from server.observability.logs import configure
from server.settings import Settings


def main() -> None:
    """Serve on a free port of the loopback, with the environment's settings."""
    settings = Settings.read()
    configure(settings.log_level, settings.log_format)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))  # it must not listen, or connections would wait there instead of at Ray's proxy
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    local.run(settings, listener, lambda name: print(f"Plotify writes with {name} at {address}", flush=True))


if __name__ == "__main__":
    main()
