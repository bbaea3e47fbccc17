"""A writer at the desk: the controls of the page, by their accessible names."""

import re
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

PATIENCE = 180_000
"""Three minutes in milliseconds: the timeout even on a slow and busy machine."""

BEGINNING = "A detective in Lisbon"

SHOWN = """text => {
    const area = document.getElementById("text"), sheet = document.getElementById("sheet");
    return area?.value === text && (!sheet || sheet.hidden || sheet.textContent === text);
}"""
"""True if this is the text, in the form as in the element that is written in."""


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
    def value(self) -> str:
        """The text, as the form has it."""
        return str(self.page.locator("#text").evaluate("area => area.value"))

    @property
    def offers(self) -> Locator:
        """The place of the three texts: the tray, or a section without JavaScript."""
        return self.page.get_by_role("region", name="Suggestions" if self.script else "What could come next")

    @property
    def takes(self) -> Locator:
        """The buttons that take one of the three."""
        if self.script:
            return self.offers.locator(".way:enabled")
        return self.page.get_by_role("button", name=re.compile("^Take"))

    @property
    def ghost(self) -> Locator:
        return self.page.locator(".ghost")

    def open(self, path: str = "/") -> None:
        self.page.goto(self.address + path)

    def press(self, name: str) -> None:
        """Press a button of the desk, without waiting for the answer."""
        self.page.get_by_role("button", name=name, exact=True).click(no_wait_after=True)

    def expect_text(self, text: str) -> None:
        """Wait until this is the text."""
        expect(self.text).to_be_visible(timeout=PATIENCE)
        self.page.wait_for_function(SHOWN, arg=text, timeout=PATIENCE)

    def expect_saved(self) -> None:
        """Wait until the server has the text."""
        expect(self.page.locator("#saved")).to_have_text("Saved", timeout=PATIENCE)

    def ask(self, seed: str = "7", length: str = "A few lines") -> None:
        """Ask for three continuations, and wait until they have started."""
        self.rest()
        self.page.get_by_label(length, exact=True).check()
        self.page.locator("details.behind").evaluate("details => { details.open = true; }")
        self.page.get_by_label("Seed").fill(seed)
        if self.script:
            self.page.locator("#continue").click()
            self.ghost.wait_for(state="attached")
            return
        before = self.offers.inner_html()
        self.page.locator("#continue").click(no_wait_after=True)
        self.page.wait_for_function(
            "before => ![undefined, before].includes(document.getElementById('offers')?.innerHTML)", arg=before
        )

    def rest(self) -> None:
        """Put the suggestions away, if there are any: the options are in their place."""
        if self.script and self.offers.is_visible():
            self.press("None of these")

    def ways(self) -> list[str]:
        """Return the three texts so far."""
        found = (
            "[...document.querySelectorAll('.way')].map(way => way.textContent)"
            if self.script
            else "[0, 1, 2].map(index => [...document.querySelectorAll(`[slot=text-${index}]`)]"
            ".map(piece => piece.textContent).join(''))"
        )
        ways: list[str] = self.page.evaluate(found)
        return ways

    def until_offered(self) -> list[str]:
        """Wait until the three texts can be taken, and return them."""
        expect(self.takes).to_have_count(3, timeout=PATIENCE)
        if self.script:
            expect(self.offers).to_have_attribute("aria-busy", "false", timeout=PATIENCE)
        return self.ways()

    def asked(self, seed: str = "7") -> list[str]:
        """Ask for three lines, wait for them, and return them."""
        self.ask(seed, "A line")
        return self.until_offered()

    def take(self, index: int) -> None:
        """Take one of the three texts, and wait until it is part of the plot."""
        before = self.value
        way = self.ways()[index]
        self.takes.nth(index).click(no_wait_after=True)
        self.expect_text(before + way)

    def keep(self) -> str:
        """Save the text, and return the address of its plot."""
        if self.script:
            self.page.keyboard.press("Control+s")
            self.expect_saved()
        else:
            with self.page.expect_navigation(timeout=PATIENCE):
                self.press("Save")
        self.page.wait_for_url("**/shelf/*", timeout=PATIENCE)
        return self.page.url.partition("#")[0].removeprefix(self.address)

    def see_all(self) -> None:
        """Go from the desk to the page with the tree of the plot."""
        self.page.get_by_role("link" if self.script else "button", name="Share, export, tree").click()

    def download(self, name: str) -> str:
        """Download the file behind a link, and return its content."""
        with self.page.expect_download() as file:
            self.page.get_by_role("link", name=name).click()
        return Path(file.value.path()).read_text("utf-8")
