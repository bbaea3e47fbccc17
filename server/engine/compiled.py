"""Compiling loops over arrays, where numpy would go through them once for each operation."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(*liberties: str) -> Callable[[Loop], Loop]:
    """Compiles a function when it is first called, to run without Python's lock, and keeps it on disk where it may.

    liberties: that LLVM may take with the arithmetic, none for none: "contract", to multiply and add in one
    instruction; "reassoc", to add up in another order. It is the same code in whatever company a row is.
    """

    def compile_later(function: Loop) -> Loop:
        try:
            compiling = numba.njit(nogil=True, fastmath=set(liberties), cache=True)(function)
        except RuntimeError:  # neither this folder nor the user's own takes files
            compiling = numba.njit(nogil=True, fastmath=set(liberties))(function)
        return compiling  # type: ignore[return-value]  # it is called as the function is

    return compile_later


def kept_in(function: Callable[..., Any]) -> str | None:
    """The folder with what was compiled of such a function; None where it is kept nowhere."""
    path: str | None = function.stats.cache_path  # type: ignore[attr-defined]
    return path
