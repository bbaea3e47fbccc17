"""A writer at the desk: the controls of the page, by their accessible names."""

import re
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

PATIENCE = 180_000
"""Three minutes in milliseconds: the timeout even on a slow and busy machine."""

BEGINNING = "A detective in Lisbon"


@dataclass
class Writer:
    """A writer with a browser.

    Attributes:
        script: True if the browser runs JavaScript.
        faults: the errors in its console.
    """

    page: Page
    address: str
    script: bool
    faults: list[str]

    @property
    def text(self) -> Locator:
        return self.page.get_by_label("Your plot")

    @property
    def offers(self) -> Locator:
        return self.page.get_by_role("region", name="What could come next")

    @property
    def takes(self) -> Locator:
        return self.page.get_by_role("button", name=re.compile("^Take"))

    def open(self, path: str = "/") -> None:
        self.page.goto(self.address + path)

    def press(self, name: str) -> None:
        """Press a button of the desk, without waiting for the answer."""
        self.page.get_by_role("button", name=name, exact=True).click(no_wait_after=True)

    def ask(self, seed: str = "7", length: str = "A few lines") -> None:
        """Ask for three continuations, and wait until they have started."""
        self.page.get_by_label(length, exact=True).check()
        self.page.locator("details.behind").evaluate("details => { details.open = true; }")
        self.page.get_by_label("Seed").fill(seed)
        before = self.offers.inner_html()
        self.page.locator("#continue").click(no_wait_after=True)
        self.page.wait_for_function(
            "before => ![undefined, before].includes(document.getElementById('offers')?.innerHTML)", arg=before
        )

    def ways(self) -> list[str]:
        """Return the three texts so far."""
        slots = "[0, 1, 2].map(index => [...document.querySelectorAll(`[slot=text-${index}]`)])"
        ways: list[str] = self.page.evaluate(f"{slots}.map(pieces => pieces.map(piece => piece.textContent).join(''))")
        return ways

    def until_offered(self) -> list[str]:
        """Wait until the three texts can be taken, and return them."""
        expect(self.takes).to_have_count(3, timeout=PATIENCE)
        return self.ways()

    def asked(self, seed: str = "7") -> list[str]:
        """Ask for three lines, wait for them, and return them."""
        self.ask(seed, "A line")
        return self.until_offered()

    def take(self, index: int) -> None:
        """Take one of the three texts, and wait until it is part of the plot."""
        before = self.text.input_value()
        way = self.ways()[index]
        self.takes.nth(index).click(no_wait_after=True)
        expect(self.text).to_have_value(before + way, timeout=PATIENCE)

    def keep(self) -> str:
        """Keep the text, and return the address of its plot."""
        self.press("Keep")
        self.page.wait_for_url("**/shelf/*", timeout=PATIENCE)
        return self.page.url.removesuffix("#offers").removeprefix(self.address)

    def download(self, name: str) -> str:
        """Download the file behind a link, and return its content."""
        with self.page.expect_download() as file:
            self.page.get_by_role("link", name=name).click()
        return Path(file.value.path()).read_text("utf-8")
