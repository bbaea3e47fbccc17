"""The line that installs a missing package."""

import sys


def missing(package: str | None, extra: str) -> str:
    """Return a sentence that says which package is missing, and the command that installs its extra."""
    return (
        f"{package} is not installed. Install it with:\n"
        f"  {sys.executable} -m pip install -c constraints.txt -e '.[{extra}]'"
    )
