"""The KV cache, in memory that ONNX Runtime writes in place.

It has a tensor for each layer and side, and a row for each sequence. The first rows belong to decoding sequences, so
that n of them are one block of memory to bind; the last rows belong to the prefix cache
(`server/engine/prefix_cache.py`).
"""

import math
import mmap
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnxruntime import OrtValue

from server.bundle import ModelShape

BLOCK = 16
"""Prompts are read in multiples of this many tokens, counted from their beginning. A token's keys and values are then
the same, to the last bit, in whatever pieces its prompt is read: other lengths take other kernels in ONNX Runtime."""


def whole_blocks(tokens: int) -> int:
    """`tokens` rounded up to a multiple of `BLOCK`."""
    return -(-tokens // BLOCK) * BLOCK


@dataclass(frozen=True)
class Side:
    """The keys or the values of one layer, [rows, heads, capacity, head_dim]; an OrtValue on a device."""

    name: str
    values: npt.NDArray[np.generic] | OrtValue


class Cache:
    """Rows of keys and values on the host. A page of memory is taken when a token is first written to it.

    rows: the number of sequences that fit. dtype: float32, or int8 where the graph quantizes its cache.
    """

    def __init__(self, shape: ModelShape, rows: int, dtype: npt.DTypeLike) -> None:
        self.capacity = whole_blocks(shape.context)
        self.dtype = np.dtype(dtype)
        row = (shape.heads, self.capacity, shape.head_dim)
        self.row_bytes = math.prod(row) * self.dtype.itemsize
        self.sides = [
            Side(f"{layer}.{side}", self._zeros((rows, *row)))
            for layer in range(shape.layers)
            for side in ("key", "value")
        ]

    def address(self, side: Side, row: int) -> int:
        """The address of `row` of `side`; the next rows follow without a gap."""
        return int(side.values.ctypes.data) + row * self.row_bytes

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Copies the first `tokens` of one row to another."""
        if source != target:
            for side in self.sides:
                side.values[target, :, :tokens] = side.values[source, :, :tokens]

    def _zeros(self, shape: tuple[int, ...]) -> npt.NDArray[np.generic] | OrtValue:
        """Memory in small pages: with huge pages, a short sequence would take as much as a full row."""
        memory = mmap.mmap(-1, math.prod(shape) * self.dtype.itemsize)
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            memory.madvise(mmap.MADV_NOHUGEPAGE)
        return np.frombuffer(memory, self.dtype).reshape(shape)
