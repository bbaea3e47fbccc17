"""`plotify` with a model that fails after each SIGUSR1: `python -m benchmarks.trials.faulty serve`."""

import signal
import threading
from typing import Any

from server.cli import main
from server.engine.model.runner import Runner


def fail_on_signal() -> None:
    """Make the next decode of any runner raise RuntimeError after each SIGUSR1."""
    decode, failing = Runner.decode, threading.Event()

    def decode_or_fail(runner: Runner, *arguments: Any) -> Any:
        if failing.is_set():
            failing.clear()
            raise RuntimeError("out of memory")
        return decode(runner, *arguments)

    signal.signal(signal.SIGUSR1, lambda *_: failing.set())
    Runner.decode = decode_or_fail  # type: ignore[assignment,method-assign]


if __name__ == "__main__":
    fail_on_signal()
    main()
