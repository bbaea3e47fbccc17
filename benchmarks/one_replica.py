"""`plotify serve` with one replica on Ray Serve, which the command does without Ray: for what the hop costs."""

import socket

from server.cluster import local
from server.observability.logs import configure
from server.settings import Settings


def main() -> None:
    """Serves on a free port of the loopback, by the environment's settings."""
    settings = Settings.read()
    configure(settings.log_level, settings.log_format)
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    local.run(settings, listener, lambda name: print(f"Plotify writes with {name} at {address}", flush=True))


if __name__ == "__main__":
    main()
