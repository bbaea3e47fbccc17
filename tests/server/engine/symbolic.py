"""A symbolic cache and session: each cell identifies its tokens, so mistakes become visible.

A real cell depends on its token and on all tokens before it in its row. A symbolic cell does, too: it is a hash of the
previous cell and the token. So a wrong copy, a wrong position or an overwritten row gives wrong cells.
"""

from collections.abc import Sequence
from itertools import accumulate

from server.engine.model.cache import BLOCK, Cache


def mix(before: int, token: int) -> int:
    """Return the cell of `token` behind the cell `before`."""
    return hash((before, token))


def history(tokens: Sequence[int]) -> list[int]:
    """Return the cells of tokens after their prefill into an empty row."""
    return list(accumulate(tokens, mix, initial=0))[1:]


class SymbolicCache(Cache):
    """Rows of cells; None before a cell is written."""

    def __init__(self, rows: int, context: int) -> None:
        self.block_size = BLOCK
        self.capacity = self.whole_blocks(context)
        self.cells: list[list[int | None]] = [[None] * self.capacity for _ in range(rows)]

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Do the same as `Cache.copy`."""
        self.cells[target][:tokens] = self.cells[source][:tokens]

    def prefill(self, row: int, start: int, pieces: Sequence[Sequence[int]]) -> list[int]:
        """Do the same as `Runner.prefill`, padding included. Return each piece's last cell, not logits."""
        width = min(self.whole_blocks(max(map(len, pieces))), self.capacity - start)
        assert start % BLOCK == 0
        assert len(pieces) == 1 or start == 0
        last = []
        for line, piece in enumerate(pieces, start=row):
            assert 0 < len(piece) <= width
            self._write(line, start, [*piece, *[0] * (width - len(piece))])
            last.append(self._read(line, start + len(piece) - 1))
        return last

    def decode(self, tokens: Sequence[int], lengths: Sequence[int]) -> list[int]:
        """Do the same as `Runner.decode`. Return the cell of each token, not logits."""
        for row, (token, length) in enumerate(zip(tokens, lengths, strict=True)):
            self._write(row, length, [token])
        return [self._read(row, length) for row, length in enumerate(lengths)]

    def holds(self, row: int, tokens: Sequence[int]) -> bool:
        """Return True if `row` begins with the cells of `tokens`."""
        return self.cells[row][: len(tokens)] == history(tokens)

    def _write(self, row: int, start: int, tokens: Sequence[int]) -> None:
        assert start + len(tokens) <= self.capacity
        before = self._read(row, start - 1) if start else 0
        self.cells[row][start : start + len(tokens)] = list(accumulate(tokens, mix, initial=before))[1:]

    def _read(self, row: int, place: int) -> int:
        cell = self.cells[row][place]
        assert cell is not None, f"row {row} holds nothing at {place}"
        return cell
