"""The line to install a missing package."""

import sys


def missing(package: str | None, extra: str) -> str:
    """Return a sentence with the missing package, and the command to install its extra."""
    return (
        f"{package} is not installed. Install it with:\n"
        f"  {sys.executable} -m pip install -c constraints.txt -e '.[{extra}]'"
    )
