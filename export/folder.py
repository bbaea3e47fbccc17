"""Building a folder that appears as a whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export.errors import ExportError


@contextmanager
def whole_folder(out: Path, replaceable: str, force: bool) -> Iterator[Path]:
    """Yield a new folder beside `out` to build in. It is renamed to `out` if the block succeeds.

    If the block fails, the folder is removed. A killed process leaves a hidden `.NAME.partial` beside `out`, and the
    next call removes it. A process killed between the two renames of a replacement leaves `.NAME.replaced`, and the
    next call puts it back.

    Args:
        replaceable: a file name. A folder with such a file may be replaced.
        force: replace an existing `out` at the end, if it is empty or contains `replaceable`.

    Raises:
        ExportError: `out` already exists and must not be replaced.
    """
    out = out.absolute()
    partial, replaced = (out.with_name(f".{out.name}.{state}") for state in ("partial", "replaced"))
    put_back(replaced, out)
    if out.exists():
        if not force:
            raise ExportError(f"{out} already exists: give another --out, or --force to replace it.")
        if not out.is_dir() or (any(out.iterdir()) and not (out / replaceable).is_file()):
            raise ExportError(f"{out} is not a bundle ({replaceable} is missing), so --force will not replace it.")
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
    """Finish an interrupted replacement.

    If there is no new folder, the old one is put back. Otherwise it is removed.
    """
    if replaced.exists() and not out.exists():
        replaced.rename(out)
    shutil.rmtree(replaced, ignore_errors=True)
