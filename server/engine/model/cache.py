"""The KV cache: rows for sequences and for kept prompts, written in place by ONNX Runtime.

Each layer has one tensor of keys and one of values. The first rows belong to decoding sequences, so n of them are one
contiguous piece of memory to bind. The last rows belong to the prefix cache (`server/engine/prefix_cache.py`).
"""

import math
import mmap
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnxruntime import OrtValue

from server.bundle import EngineContract, ModelShape

BLOCK = EngineContract().block_size
"""The block size of bundles that don't name theirs."""


@dataclass(frozen=True)
class Side:
    """The keys or the values of one layer, [rows, heads, capacity, head_dim]; an OrtValue if on a device."""

    name: str
    values: npt.NDArray[np.generic] | OrtValue


class Cache:
    """Rows of keys and values in the host's memory, which is taken only when first written to.

    Args:
        rows: the number of rows.
        dtype: float32, or int8 if the graph quantizes its cache.
        block_size: prompts are prefilled in multiples of this many tokens, counted from their beginning. ONNX Runtime
            uses other kernels for other lengths. With whole blocks, a token's keys and values are the same to the last
            bit in whatever pieces its prompt is prefilled.

    Attributes:
        capacity: the number of tokens in a row.
        row_bytes: the size of a row of one side.
        sides: the keys and the values of each layer.
    """

    def __init__(self, shape: ModelShape, rows: int, dtype: npt.DTypeLike, block_size: int = BLOCK) -> None:
        self.block_size = block_size
        self.capacity = self.whole_blocks(shape.context)
        self.dtype = np.dtype(dtype)
        row = (shape.heads, self.capacity, shape.head_dim)
        self.row_bytes = math.prod(row) * self.dtype.itemsize
        names = [f"{layer}.{side}" for layer in range(shape.layers) for side in ("key", "value")]
        self.sides = [Side(name, self._zeros((rows, *row))) for name in names]

    def whole_blocks(self, tokens: int) -> int:
        """Return `tokens` rounded up to a multiple of the block size."""
        return -(-tokens // self.block_size) * self.block_size

    def address(self, side: Side, row: int) -> int:
        """Return the address of `row` of `side`; the next rows follow without a gap."""
        return int(side.values.ctypes.data) + row * self.row_bytes

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Copy the first `tokens` of one row to another."""
        if source != target:
            for side in self.sides:
                side.values[target, :, :tokens] = side.values[source, :, :tokens]

    def _zeros(self, shape: tuple[int, ...]) -> npt.NDArray[np.generic] | OrtValue:
        """Return memory in small pages: with huge pages a short sequence would take as much as a full row."""
        memory = mmap.mmap(-1, math.prod(shape) * self.dtype.itemsize)
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            memory.madvise(mmap.MADV_NOHUGEPAGE)
        return np.frombuffer(memory, self.dtype).reshape(shape)
