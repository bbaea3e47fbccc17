"""Places: every page and state seen by a visitor, for tests of all of them."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.end_to_end.writer import BEGINNING, Writer


@dataclass(frozen=True)
class Place:
    """A page in a state: the name of the state, and the address."""

    name: str
    address: str


def places(writer: Writer, beginning: str = BEGINNING) -> Iterator[Place]:
    """Open one place after another with a writer, and yield each while it is open."""
    page = writer.page

    def at(name: str) -> Place:
        return Place(name, page.url.removeprefix(writer.address))

    def opened(path: str, name: str) -> Place:
        writer.open(path)
        return at(name)

    yield opened("/", "blank")
    yield opened("/shelf", "shelf-empty")
    writer.open()
    page.locator("#continue").click(no_wait_after=True)
    writer.until_offered()
    yield at("first-lines")
    for number in range(3):
        writer.open()
        writer.text.fill(f"{beginning} {'again ' * number}".strip())
        writer.keep()
    writer.asked()
    yield at("offers")
    writer.rest()
    writer.page.locator("details.behind").evaluate("details => { details.open = true; }")
    page.get_by_label("Seed").fill("x")
    page.locator("#continue").click()
    page.locator("[aria-invalid]").wait_for()
    yield at("mistake")
    page.get_by_label("Seed").fill("")
    writer.press("Show again")
    writer.take(1)
    writer.keep()
    about = page.locator("#more").get_attribute("href")
    assert about
    plot = about.removesuffix("/about")
    yield opened(plot, "plot")
    yield opened("/shelf", "shelf")
    yield opened("/shelf?q=submarine", "shelf-nothing-found")
    page.route("**/desk", lambda route: route.abort())
    writer.open()
    writer.text.fill("The ferry leaves at nine. " * 3000)  # too long to be sent while the page is left
    yield opened("/", "unsaved")
    page.unroute("**/desk")
    writer.press("Discard them")
    yield opened(about, "tree")
    page.get_by_role("button", name="Make a link").click()
    link = page.get_by_label("Anyone with this link can read the plot").input_value()
    page.get_by_text("Delete…").click()
    yield at("tree-shared")
    yield opened(link.removeprefix(writer.address), "shared")
    for path in ("/about", "/docs", "/status", "/nowhere"):
        yield opened(path, path.strip("/"))
