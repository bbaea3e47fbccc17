"""The command line with slowed replicas, because a tiny model is too fast to watch."""

import sys
import time
from collections.abc import Sequence

from server.cluster import deployments
from server.cluster.replica import Replica
from server.engine.arrays import Floats
from server.engine.model.runner import Runner
from server.settings import Settings

STEP = 0.03
"""Extra seconds for each step."""


class SlowReplica(Replica):
    """An engine of about thirty tokens per second for each sequence."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]
        decode = Runner.decode

        def decode_slowly(runner: Runner, tokens: Sequence[int], lengths: Sequence[int]) -> Floats:
            time.sleep(STEP)
            return decode(runner, tokens, lengths)

        Runner.decode = decode_slowly  # type: ignore[assignment, method-assign]
        await super().__init__(settings)


def main() -> None:
    """Run `plotify` with slow replicas."""
    from server.cli import main as plotify

    deployments.Replica = SlowReplica  # type: ignore[attr-defined]
    plotify(sys.argv[1:])
