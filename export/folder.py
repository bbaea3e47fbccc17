"""A folder that is there whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export.errors import ExportError


@contextmanager
def whole_folder(out: Path, replaceable: str, force: bool) -> Iterator[Path]:
    """A fresh folder beside `out` to build in, renamed to `out` when the block ends well and removed when it does not.

    What a killed process leaves is a hidden `.NAME.partial` beside `out`, swept by the next one; killed between the two
    renames of a replacement it leaves `.NAME.replaced`, which the next one puts back. An existing `out` is
    refused; with `force` it is replaced at the end, given that it is empty or holds a file named `replaceable`, the
    mark of what may be thrown away. Raises ExportError.
    """
    out = out.absolute()
    partial, replaced = (out.with_name(f".{out.name}.{state}") for state in ("partial", "replaced"))
    put_back(replaced, out)
    if out.exists():
        if not force:
            raise ExportError(f"{out} exists already: give another --out, or --force to replace it.")
        if not out.is_dir() or (any(out.iterdir()) and not (out / replaceable).is_file()):
            raise ExportError(f"{out} is no bundle ({replaceable} is missing), so --force will not replace it.")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if out.exists():
            out.rename(replaced)
        partial.rename(out)
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        put_back(replaced, out)
        shutil.rmtree(partial, ignore_errors=True)


def put_back(replaced: Path, out: Path) -> None:
    """Ends a replacement that was broken off: the old folder returns where no new one came, and goes where one did."""
    if replaced.exists() and not out.exists():
        replaced.rename(out)
    shutil.rmtree(replaced, ignore_errors=True)
