"""Measure in a real browser for how long a writer waits: `python -m tests.end_to_end.latency`.

It starts a server with the shipped model and measures from a key to the frame that shows the result. The machine must
have nothing else to do.
"""

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.table import Table

from benchmarks.circumstances import circumstances
from benchmarks.process import plotify
from tests.end_to_end.conftest import CHROMIUM, FLAGS
from tests.end_to_end.writer import PATIENCE

ROUNDS = 20
WORDS = 700
GENRE = "Crime"

SENTENCES = (
    "A lighthouse keeper finds a letter under the boards of the lamp room.",
    "The hand is a woman's, and the ink has hardly faded.",
    "He reads it by the light that he is paid to tend.",
    "His brother rows over from the village with bread and bad news.",
    "Nobody on the island remembers a ship of that name.",
    "The inspector from Lisbon asks the same question three times.",
    "When the tide turns, a boat with no lights leaves the harbour.",
    "She had promised to come back before the first storm.",
    "In the church register, two pages have been cut out.",
    "The old captain sells his house and will not say why.",
)

WAIT = """() => {
    window.waited = new Promise(resolve => {
        let start;
        addEventListener("keydown", event => { start = event.timeStamp; }, { capture: true, once: true });
        const look = () => {
            if (start !== undefined && (SEEN)) resolve(performance.now() - start);
            else requestAnimationFrame(look);
        };
        requestAnimationFrame(look);
    });
}"""
"""Begins to wait for the next key, and then for a frame in which SEEN, an expression, holds."""

GHOST = "document.querySelector('.ghost')?.dataset.words.trim()"
SETTLED = """() => document.getElementById("tray").ariaBusy === "false"
    && document.querySelectorAll(".way:enabled").length === 3"""
SAVED = "() => document.getElementById('saved').textContent === 'Saved'"
FORK = "document.querySelector('#fork:popover-open button')"


def text(seed: int) -> str:
    """Return as many words as the target names, in another order for each seed."""
    drawn, words = random.Random(seed), list[str]()
    while len(words) < WORDS:
        words += drawn.choice(SENTENCES).split()
    return " ".join(words)


def suggest(page: Page) -> None:
    """Ask for suggestions, and wait until they and those after them are written."""
    page.keyboard.press("Control+Enter")
    page.wait_for_function(SETTLED)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)


def at_the_end(page: Page) -> None:
    """Have the model read the text, then type a little more."""
    page.keyboard.press("Control+End")
    suggest(page)
    page.keyboard.type(" Then")


def in_the_middle(page: Page) -> None:
    """Put the caret where nobody has asked yet."""
    page.keyboard.press("Control+Home")
    for _ in range(20):
        page.keyboard.press("ArrowDown")


def with_suggestions(page: Page) -> None:
    """Have suggestions, and those after them."""
    page.keyboard.press("Control+End")
    suggest(page)


def on_a_word(page: Page) -> None:
    """Put the caret at a word of the model."""
    with_suggestions(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    for _ in range(3):
        page.keyboard.press("Control+ArrowLeft")


CASES: dict[str, tuple[Callable[[Page], None], str, str, int]] = {
    "Ctrl Enter to the first ghost letters, at the end (warm)": (at_the_end, "Control+Enter", GHOST, 120),
    "Ctrl Enter to the first ghost letters, in the middle (cold)": (in_the_middle, "Control+Enter", GHOST, 250),
    "Tab to the next suggestion in view": (with_suggestions, "Tab", f"{GHOST} && {GHOST} !== window.before", 60),
    "Other words for a word": (on_a_word, "Alt+ArrowDown", FORK, 150),
}
"""For each row: what comes before, the key, what shows the result, and the target in milliseconds."""


def waits(page: Page, address: str, before: Callable[[Page], None], key: str, seen: str) -> list[float]:
    """Return the times from a key to its result, in milliseconds, each with another text."""
    found = []
    for seed in range(ROUNDS):
        page.goto(address)
        page.get_by_label("Genre").select_option(GENRE)
        sheet = page.locator("#sheet")
        sheet.fill(text(seed))
        sheet.focus()
        before(page)
        page.wait_for_function(SAVED)
        page.wait_for_timeout(1000)
        page.evaluate(f"window.before = {GHOST}")
        page.evaluate(WAIT.replace("SEEN", seen))
        page.keyboard.press(key)
        found.append(float(page.evaluate("window.waited")))
    return found


def main() -> None:
    """Measure every row, and print the table."""
    if CHROMIUM is None:
        raise SystemExit("There is no chromium on PATH; install it, and try again.")
    table = Table("", "p50", "target", "slowest", title=f"{ROUNDS} times each, {WORDS} words, {GENRE}")
    with (
        tempfile.TemporaryDirectory() as folder,
        plotify(Path(folder, "server.log")) as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE)
        for name, (before, key, seen, target) in CASES.items():
            found = waits(page, server.address, before, key, seen)
            table.add_row(name, f"{median(found):.0f} ms", f"≤ {target} ms", f"{max(found):.0f} ms")
        browser.close()
    console = Console()
    console.print(table)
    there = circumstances()
    console.print(f"{there['date']}, {there['commit']}, {there['machine']}", soft_wrap=True)


if __name__ == "__main__":
    main()
