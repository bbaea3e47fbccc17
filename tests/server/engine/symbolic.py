"""A cache and a session that compute nothing: each cell says which tokens it stands for, so that mistakes can be seen.

What a real cell holds depends on its token and on all before it in its row. So does a cell here: it is a hash of the
cell before it and of the token. A row that was copied wrong, overwritten or read from the wrong place shows in it.
"""

from collections.abc import Sequence
from itertools import accumulate

from server.engine.model.cache import BLOCK, Cache, whole_blocks


def mix(before: int, token: int) -> int:
    """The cell of `token` behind the cell `before`."""
    return hash((before, token))


def history(tokens: Sequence[int]) -> list[int]:
    """The cells of tokens that were read alone into an empty row."""
    return list(accumulate(tokens, mix, initial=0))[1:]


class SymbolicCache(Cache):
    """Rows of cells; None where nothing was written yet."""

    def __init__(self, rows: int, context: int) -> None:
        self.capacity = whole_blocks(context)
        self.cells: list[list[int | None]] = [[None] * self.capacity for _ in range(rows)]

    def copy(self, source: int, target: int, tokens: int) -> None:
        """What `Cache.copy` does."""
        self.cells[target][:tokens] = self.cells[source][:tokens]

    def prefill(self, row: int, start: int, pieces: Sequence[Sequence[int]]) -> list[int]:
        """What `Runner.prefill` does, padding included; in place of logits the cell of each piece's last token."""
        width = min(whole_blocks(max(map(len, pieces))), self.capacity - start)
        assert start % BLOCK == 0
        assert len(pieces) == 1 or start == 0
        last = []
        for line, piece in enumerate(pieces, start=row):
            assert 0 < len(piece) <= width
            self._write(line, start, [*piece, *[0] * (width - len(piece))])
            last.append(self._read(line, start + len(piece) - 1))
        return last

    def decode(self, tokens: Sequence[int], lengths: Sequence[int]) -> list[int]:
        """What `Runner.decode` does; in place of logits the cell of each token."""
        for row, (token, length) in enumerate(zip(tokens, lengths, strict=True)):
            self._write(row, length, [token])
        return [self._read(row, length) for row, length in enumerate(lengths)]

    def holds(self, row: int, tokens: Sequence[int]) -> bool:
        """Whether `row` begins with what `tokens` leave there when they are read alone."""
        return self.cells[row][: len(tokens)] == history(tokens)

    def _write(self, row: int, start: int, tokens: Sequence[int]) -> None:
        assert start + len(tokens) <= self.capacity
        before = self._read(row, start - 1) if start else 0
        self.cells[row][start : start + len(tokens)] = list(accumulate(tokens, mix, initial=before))[1:]

    def _read(self, row: int, place: int) -> int:
        cell = self.cells[row][place]
        assert cell is not None, f"row {row} holds nothing at {place}"
        return cell
