"""Access to the documentation, for tests that read it and run its examples."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted(DOCS.glob("*.md"))]
ADDRESS = "http://127.0.0.1:8000"


def words(page: str) -> str:
    """Return the text of a page in docs/, with single spaces between words."""
    return " ".join((DOCS / page).read_text(encoding="utf-8").split())


def prose(text: str) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"^```.*?^```$|^    [^\n]*$", "", text, flags=re.DOTALL | re.MULTILINE)


def examples(page: str, language: str) -> list[str]:
    """Return the code blocks in a language on a page in docs/."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def example(page: str, language: str, address: str) -> str:
    """Return the only code block in a language on a page, with the server's address."""
    (block,) = examples(page, language)
    return aimed(block, address)


def aimed(block: str, address: str) -> str:
    """Return an example with the server's address in place of the documented one."""
    return block.replace(ADDRESS, address)
