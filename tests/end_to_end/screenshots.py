"""Screenshots of every page and state: `python -m tests.end_to_end.screenshots`.

They are in build/screenshots, at two widths and in both colour schemes, with the shipped bundle and a temporary shelf.
"""

import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, sync_playwright
from rich.progress import Progress

from server.bundle import Bundle
from server.settings import SHIPPED_MODEL, Settings
from tests.end_to_end.conftest import CHROMIUM, FLAGS
from tests.end_to_end.places import places
from tests.end_to_end.writer import PATIENCE, Writer
from tests.server.live import serving

FOLDER = Path("build/screenshots")
BEGINNING = "A lighthouse keeper on a lonely island finds a letter that was never sent."
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS = (1280, 390)
STATES = 17


def photograph(browser: Browser, address: str, progress: Progress) -> None:
    """Take a screenshot of every place, for each width and scheme."""
    task = progress.add_task("Screenshots", total=STATES * len(SCHEMES) * len(WIDTHS))
    for width in WIDTHS:
        for scheme in SCHEMES:
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page = context.new_page()
            folder = FOLDER / f"{width}-{scheme}"
            page.set_default_timeout(PATIENCE)

            writer = Writer(page, address, True, [])
            for place in places(writer, BEGINNING):
                page.screenshot(path=folder / f"{place.name}.png", full_page=True)
                progress.advance(task)
            writer.open()
            writer.text.fill(BEGINNING)
            writer.ask(length="A paragraph")
            page.wait_for_function("() => [...document.querySelectorAll('.way')].every(way => way.textContent)")
            page.screenshot(path=folder / "writing.png", full_page=True)
            progress.advance(task)
            context.close()


def main() -> None:
    """Start a server, and take the screenshots."""
    if CHROMIUM is None:
        raise SystemExit("There is no chromium on PATH; install it, and try again.")
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Bundle.load(SHIPPED_MODEL), Settings(database=str(Path(folder, "shelf.sqlite"))), rows=8) as live,
        sync_playwright() as playwright,
        Progress() as progress,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        photograph(browser, live.address, progress)
        browser.close()
    print(f"They are in {FOLDER}.")


if __name__ == "__main__":
    main()
