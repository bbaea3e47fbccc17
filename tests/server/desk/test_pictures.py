"""A plot's picture: drawn while its page streams, kept, and shared."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from server.bundle import Bundle
from server.settings import Settings
from tests.server.desk.visiting import Visitor
from tests.server.live import serving
from tests.server.pictures.services import KEY, PNG, Services, services


@contextmanager
def running() -> Iterator[Services]:
    """The picture services, on their own loop and thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    context = services()
    try:
        yield asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result()
        asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def drawing() -> Iterator[Services]:
    with running() as found:
        yield found


@pytest.fixture
def visitor(bundle: Bundle, drawing: Services) -> Iterator[Visitor]:
    settings = Settings(pictures="openai", pictures_url=f"{drawing.address}/v1", pictures_key=KEY, pictures_cap=3)
    with serving(bundle, settings) as live, httpx.Client(base_url=live.address, timeout=60) as client:
        yield Visitor(client)


def draw(visitor: Visitor, plot: str) -> httpx.Response:
    return visitor.client.post(f"/shelf/{plot}/picture", data={"token": visitor.token})


def test_a_picture_is_drawn_and_kept_with_its_plot(visitor: Visitor, drawing: Services) -> None:
    plot = visitor.keep("A fox finds a letter.")["plot"]
    cover = visitor.client.get(f"/shelf/{plot}/picture")
    assert cover.headers["content-type"] == "image/svg+xml"
    page = draw(visitor, plot)
    assert page.status_code == 200
    assert "<li>Drawing…</li>" in page.text
    assert 'class="problem"' not in page.text
    assert KEY not in page.text
    picture = visitor.client.get(f"/shelf/{plot}/picture")
    assert (picture.headers["content-type"], picture.content) == ("image/png", PNG)
    assert "A fox finds a letter." in drawing.asked[0]["prompt"]


def test_whom_it_is_shared_with_sees_it_and_nobody_else(visitor: Visitor) -> None:
    plot = visitor.keep("A fox finds a letter.")["plot"]
    draw(visitor, plot)
    visitor.client.post(f"/shelf/{plot}", data={"token": visitor.token, "do": "share"})
    share = visitor.client.get(f"/shelf/{plot}/about").text.split("/shared/")[1].split("<")[0]
    with httpx.Client(base_url=visitor.client.base_url) as other:
        assert other.get(f"/shared/{share}/picture").content == PNG
        assert other.get(f"/shelf/{plot}/picture").status_code == 404
        assert (
            Visitor(other).client.post(f"/shelf/{plot}/picture", data={"token": Visitor(other).token}).status_code
            == 404
        )
        visitor.client.post(f"/shelf/{plot}", data={"token": visitor.token, "do": "withdraw"})
        assert other.get(f"/shared/{share}/picture").status_code == 404


def test_what_went_wrong_is_said_in_the_page_and_the_cover_stays(visitor: Visitor, drawing: Services) -> None:
    plot = visitor.keep("A fox finds a letter.")["plot"]
    drawing.trouble = ["page"]
    page = draw(visitor, plot).text
    assert '<li class="problem">' in page
    assert page.rstrip().endswith("</html>")
    assert KEY not in page
    assert visitor.client.get(f"/shelf/{plot}/picture").headers["content-type"] == "image/svg+xml"


def test_the_hour_has_its_cap(visitor: Visitor, drawing: Services) -> None:
    plot = visitor.keep("A fox finds a letter.")["plot"]
    pages = [draw(visitor, plot).text for _ in range(4)]
    assert ['class="problem"' in page for page in pages] == [False, False, False, True]
    assert len(drawing.asked) == 3


def test_a_form_of_elsewhere_draws_nothing(visitor: Visitor, drawing: Services) -> None:
    plot = visitor.keep("A fox finds a letter.")["plot"]
    assert visitor.client.post(f"/shelf/{plot}/picture", data={"token": "x"}).status_code == 403
    assert not drawing.asked


def test_without_a_service_the_page_offers_covers(bundle: Bundle) -> None:
    with serving(bundle) as live, httpx.Client(base_url=live.address, follow_redirects=True) as client:
        visitor = Visitor(client)
        plot = visitor.keep("A fox finds a letter.")["plot"]
        page = client.get(f"/shelf/{plot}/about").text
        assert "PLOTIFY_" not in page
        assert "Draw a picture" not in page
        first = client.get(address := kept(page))
        assert first.text.startswith("<svg")
        assert first.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert client.get(f"/shelf/{plot}/picture").headers["cache-control"] == "no-store"
        page = client.post(f"/shelf/{plot}", data={"token": visitor.token, "do": "cover"}).text
        assert kept(page) != address
        assert client.get(kept(page)).text != first.text
        assert client.get(address).headers["cache-control"] == "no-store", "it is of the cover before"


def test_a_picture_makes_way_for_another_and_for_a_cover(visitor: Visitor) -> None:
    plot = visitor.keep("A fox finds a letter.")["plot"]
    address = f"/shelf/{plot}/about"
    before = kept(visitor.client.get(address).text)
    page = draw(visitor, plot).text
    assert kept(page) == f"/shelf/{plot}/picture", "the address that browsers keep is of the cover before"
    assert "Draw another picture" in page
    page = visitor.client.get(address).text
    assert "Draw another picture" in page
    assert kept(page) != before
    assert visitor.client.get(kept(page)).content == PNG
    visitor.client.post(f"/shelf/{plot}", data={"token": visitor.token, "do": "cover"})
    page = visitor.client.get(address).text
    assert "Draw a picture" in page
    assert visitor.client.get(kept(page)).headers["content-type"] == "image/svg+xml"


def kept(page: str) -> str:
    """Return the address of the picture on a page, which browsers may keep."""
    return page.partition('<img src="')[2].partition('"')[0]
