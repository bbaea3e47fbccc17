"""The drawn cover in a real browser."""

import pytest
from playwright.sync_api import Browser

from server.pictures import cover
from server.pictures.cover import HEIGHT, WIDTH

TITLES = ["WWWWW MMMMM", "A Detective in Lisbon", "Donaudampfschifffahrtselektrizitätenhaupt", "word " * 99, "狐" * 40]


@pytest.mark.parametrize("title", TITLES)
def test_the_letters_stay_within_it_and_apart(browser: Browser, title: str) -> None:
    page = browser.new_page()
    page.set_content(cover(title, "Science Fiction").content.decode())
    boxes = page.eval_on_selector_all(
        "text", "all => all.map(one => one.getBBox()).map(box => [box.x, box.x + box.width, box.y])"
    )
    page.close()
    assert all(left >= 20 and right <= WIDTH - 20 for left, right, _ in boxes)
    tops = [top for _, _, top in boxes]
    assert tops == sorted(set(tops))
    assert 0 < tops[0] < tops[-1] < HEIGHT
