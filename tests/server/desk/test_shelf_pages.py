"""The pages around the desk: a shared plot, the shelf, a plot with its tree, and About."""

import re
from html import unescape

from litestar import Litestar
from litestar.testing import TestClient

from tests.server.desk.visiting import Visitor

OPERATORS = ("PLOTIFY_", "operator", "Sampling", "token")


def shared(visitor: Visitor, text: str) -> str:
    """Keep a text, and return the path at which others can read it."""
    plot = visitor.keep(text)["plot"]
    page = visitor.client.post(f"/shelf/{plot}", data={"token": visitor.token, "do": "share"}).text
    found = re.search(r"/shared/[\w-]+", page)
    assert found
    return found[0]


def meta(page: str) -> dict[str, str]:
    """Return the properties in the head of a page."""
    found = re.findall(r'<meta (?:name|property)="([^"]*)" content="([^"]*)">', page)
    return {name: unescape(content) for name, content in found}


def test_a_shared_plot_has_a_preview_and_one_thing_to_do(visitor: Visitor) -> None:
    path = shared(visitor, 'A "fox" & a hen. ' + "They meet again and again. " * 20)
    page = visitor.client.get(path).text
    told = meta(page)
    assert told["robots"] == "noindex"
    assert told["og:title"].startswith('A "fox" & a hen.')
    assert told["description"] == told["og:description"]
    assert told["og:description"].startswith('A "fox" & a hen. They meet')
    assert len(told["og:description"]) <= 201
    assert told["og:url"] == f"http://testserver.local{path}"
    image = visitor.client.get(told["og:image"])
    assert (image.headers["content-type"], image.headers["x-robots-tag"]) == ("image/png", "noindex")
    assert re.findall(r"<a [^>]*>(.*?)</a>", page) == ["Plotify", "Write your own"]
    assert "<button" not in page


def test_a_shared_page_that_is_blank_says_so(visitor: Visitor) -> None:
    path = shared(visitor, " ")
    page = visitor.client.get(path).text
    assert "This page is still blank." in page
    assert meta(page)["og:description"]


def test_about_is_for_writers_and_the_card_is_folded_away(client: TestClient[Litestar]) -> None:
    before, card = client.get("/about").text.split('<details class="fold">')
    assert "<summary>About the model</summary>" in card
    assert "plotify-tiny" in card
    assert not [word for word in OPERATORS if word in before]


def test_pages_of_the_shelf_are_in_writers_words(visitor: Visitor) -> None:
    plot = visitor.keep("A fox")["plot"]
    for path in ("/shelf", f"/shelf/{plot}/about", shared(visitor, "A hen")):
        page = re.sub(r"<[^>]*>", "", visitor.client.get(path).text)
        assert not [word for word in OPERATORS if word in page]


def test_a_card_says_its_title_once_and_then_how_the_text_goes_on(visitor: Visitor) -> None:
    visitor.keep("A fox meets a hen at the gate of the farm.\nThey talk all night about the moon and the geese.")
    page = visitor.client.get("/shelf").text
    card = page.partition('<ul class="books">')[2].partition("</ul>")[0]
    read = " ".join(unescape(re.sub("<[^>]*>", " ", card)).split())
    assert read.startswith(
        "A fox meets a hen at the gate of the farm. They talk all… …night about the moon and the geese."
    )
    assert read.count("A fox") == 1
    assert 'alt=""' in card


def test_the_shelf_says_once_which_plot_was_deleted(visitor: Visitor) -> None:
    title = 'A <fox> & a "hen"; 100%25, Łódź'
    plot = visitor.keep("A fox")["plot"]
    visitor.client.post(f"/shelf/{plot}", data={"token": visitor.token, "do": "rename", "title": title})
    page = visitor.client.post(f"/shelf/{plot}", data={"token": visitor.token, "do": "delete"}).text
    assert f"“<bdi>{title}</bdi>” is deleted." in unescape(page)
    assert "<fox>" not in page
    assert "is deleted" not in visitor.client.get("/shelf").text


def test_a_list_keeps_its_order_and_its_search_from_page_to_page(visitor: Visitor) -> None:
    for number in range(20):
        visitor.keep(f"Fox {number:02}")
    page = unescape(visitor.client.get("/shelf", params={"q": "fox", "sort": "title"}).text)
    found = re.search(r'href="(/shelf\?[^"]*)">Next page', page)
    assert found
    rest = visitor.client.get(found[1]).text
    assert re.findall(r'<h2 dir="auto"><a[^>]*>(.*?)</a>', rest) == ["Fox 18", "Fox 19"]
    assert "20 plots with" in rest
    assert visitor.client.get("/shelf", params={"sort": "nonsense", "skip": "-5"}).status_code == 200


def test_the_tree_has_the_way_here_and_can_be_seen_from_elsewhere(visitor: Visitor) -> None:
    plot = visitor.keep("A fox")["plot"]
    visitor.keep("A hen", plot)
    page = visitor.client.get(f"/shelf/{plot}/about").text
    assert len(re.findall('aria-current="step"', page)) == 1
    assert re.search(r'aria-current="step">\s*<div class="passage">\s*<p class="words" dir="auto">A hen</p>', page)
    assert '<button class="words" name="go" value="1" dir="auto">A fox</button>' in page
    assert visitor.client.get(f"/shelf/{plot}/about?at=1").status_code == 200
    for at in ("99", "-1", "x"):
        assert visitor.client.get(f"/shelf/{plot}/about?at={at}").status_code == 404
