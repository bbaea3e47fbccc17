"""Silence for libraries that write to standard error by themselves."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def silent() -> Iterator[None]:
    """Drop all that C++ code writes to standard error.

    TensorFlow writes some lines when it is imported, whatever TF_CPP_MIN_LOG_LEVEL says
    (https://github.com/tensorflow/tensorflow/issues/100442).
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
