"""The garbage collector of a process that serves streams."""

import gc

NEW_OBJECTS = 20_000
"""New objects before a collection; Python's default is 700.

Each request and each token makes many that need no collector.
"""


def collect_less() -> None:
    """Leave what is here out of all collections, and collect less often.

    Call it once the server has started. To look through the modules for garbage would hold up all streams for 0.1 s.
    """
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS)
