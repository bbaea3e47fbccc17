"""Compilation of the sampling kernels, and the place of the compiled code.

Numba keeps the code in a folder, for one processor and one text of the kernels. If either differs, it compiles again.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import llvmlite.binding as llvm
import numba
from numba.core import event
from numba.core.caching import InTreeCacheLocator

logger = logging.getLogger(__name__)

Loop = TypeVar("Loop", bound=Callable[..., Any])

PROCESSOR = Path(__file__).parent / "__pycache__" / "processor.txt"
"""Names the processor of the code that was compiled at installation."""


def processor() -> str:
    """Return the name of this processor and its instructions, as LLVM knows them."""
    return f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


class Installed(InTreeCacheLocator):
    """The code that was compiled at installation, if it fits the processor.

    Its folder may be read-only. The image names it in NUMBA_CACHE_LOCATOR_CLASSES.
    """

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> Self | None:
        """Return the place of a function's code; None to let Numba look for another."""
        fits = PROCESSOR.is_file() and PROCESSOR.read_text(encoding="utf-8") == processor()
        return cls(function, file) if fits else None


class Announcement(event.Listener):
    """Logs once that something is compiled. folder: the place for the code, None if there is none."""

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self._said = False

    def on_start(self, started: object) -> None:
        """Log the first time."""
        if not self._said:
            self._said = True
            then = f"later starts find it in {self._folder}" if self._folder else "each start does that again"
            logger.info("Compiling the sampler for this processor, which takes some seconds; %s", then)

    def on_end(self, ended: object) -> None:
        """Log nothing."""


@contextmanager
def announced(function: Callable[..., Any]) -> Iterator[None]:
    """Log a line if something is compiled in the body. function: one of the functions."""
    with event.install_listener("numba:compile", Announcement(cache_folder(function))):
        yield


def _has_place() -> bool:
    """Return False for a user without a home folder: Numba would make a folder named ~ here."""
    try:
        return "NUMBA_CACHE_DIR" in os.environ or bool(Path.home())
    except RuntimeError:
        return False


def compiled(*liberties: str) -> Callable[[Loop], Loop]:
    """Compile a function at its first call, to run without Python's lock, and cache it on disk.

    The compiled code is the same for a single row and for many, so rows stay independent.

    Args:
        liberties: the liberties LLVM may take with arithmetic: "contract" may multiply and add in one instruction,
            "reassoc" may add in another order.
    """

    def compile_later(function: Loop) -> Loop:
        compile = partial(numba.njit, nogil=True, fastmath=set(liberties), no_cfunc_wrapper=True)
        try:
            compiling = compile(cache=_has_place())(function)
        except RuntimeError:  # neither this folder nor the user's own cache is writable
            compiling = compile()(function)
        return compiling  # type: ignore[return-value]  # callable like the function

    return compile_later


def cache_folder(function: Callable[..., Any]) -> str | None:
    """Return the folder with a compiled function's cache; None if there is none."""
    path: str | None = function.stats.cache_path  # type: ignore[attr-defined]
    return path
