"""The examples in the documentation, to be run."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def example(page: str, language: str, address: str) -> str:
    """The one block of code in a language on a page of docs/, with the server's address in it."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)
    return str(block).replace("http://127.0.0.1:8000", address)
