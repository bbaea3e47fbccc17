"""Who else computes during a contender's turn: other programs on the machine, or a contender that does not rest."""

import os
from pathlib import Path

STAT = Path("/proc/stat")
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100

DISTURBING = 0.2
"""So many cores' worth of others' work, on average over a turn, make its figure doubtful."""


def others_seconds(stat: Path = STAT) -> float | None:
    """Processor time of everything but this process, in seconds from some moment on; None where it is not told.

    Time that a hypervisor gave to another machine counts, too.
    """
    if not stat.is_file():
        return None
    user, nice, system, _idle, _waiting, irq, softirq, stolen = map(int, stat.read_text().split()[1:9])
    own = os.times()
    return (user + nice + system + irq + softirq + stolen) / TICKS - own.user - own.system
