"""The examples in the documentation, to be run."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
ADDRESS = "http://127.0.0.1:8000"


def examples(page: str, language: str) -> list[str]:
    """The blocks of code in a language on a page of docs/."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def example(page: str, language: str, address: str) -> str:
    """The only one, with the server's address in it."""
    (block,) = examples(page, language)
    return aimed(block, address)


def aimed(block: str, address: str) -> str:
    """An example with the server's address in place of the documented one."""
    return block.replace(ADDRESS, address)
