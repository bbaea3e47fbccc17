"""The documentation, to be read and run by tests."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted(DOCS.glob("*.md"))]
ADDRESS = "http://127.0.0.1:8000"


def words(page: str) -> str:
    """The text of a page of docs/, with each run of white space as one space."""
    return " ".join((DOCS / page).read_text(encoding="utf-8").split())


def prose(text: str) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```$|^    [^\n]*$", "", text, flags=re.DOTALL | re.MULTILINE)


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
