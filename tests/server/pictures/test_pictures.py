"""Any provider: one picture at a time per client, the provider's limit at once, and the hourly cap."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from server.pictures import Fault, Picture, PictureError, Pictures, Progress
from server.pictures.cap import HourlyCap
from server.pictures.picture import media_type_of
from server.pictures.pictures import MAX_ACTIVE
from server.settings import Settings, SettingsError
from tests.server.pictures.services import PNG


class Painter:
    """Draws on demand, and records the number of drawings at once."""

    maker = "A painter"
    at_once = 2

    def __init__(self, content: bytes = PNG) -> None:
        self.content = content
        self.told = asyncio.Event()
        self.drawing = self.most = self.closed = 0

    async def draw(self, prompt: str) -> AsyncGenerator[Progress | bytes, None]:
        self.drawing += 1
        self.most = max(self.most, self.drawing)
        try:
            yield Progress("Drawing")
            await self.told.wait()
            yield self.content
        finally:
            self.drawing -= 1

    async def close(self) -> None:
        self.closed += 1


async def ask(pictures: Pictures, client: str) -> list[Progress | Picture]:
    return [step async for step in pictures.illustrate("It rains.", "Rain", None, client)]


def test_without_a_service_a_cover_is_drawn() -> None:
    async def work() -> None:
        pictures = Pictures(Settings())
        assert not pictures.real
        (picture,) = await ask(pictures, "a")
        assert isinstance(picture, Picture)
        assert picture.media_type == "image/svg+xml"
        await pictures.close()

    asyncio.run(work())


def test_each_client_has_one_under_way_and_the_others_wait_for_their_turn() -> None:
    async def work() -> None:
        painter = Painter()
        pictures = Pictures(Settings(), provider=painter)
        asking = [asyncio.create_task(ask(pictures, str(number))) for number in range(MAX_ACTIVE)]
        while painter.drawing < 2:
            await asyncio.sleep(0)
        with pytest.raises(PictureError, match="already have a picture in progress") as caught:
            await ask(pictures, "3")
        assert caught.value.fault is Fault.BUSY
        with pytest.raises(PictureError, match="Many pictures") as caught:
            await ask(pictures, "somebody else")
        assert caught.value.retry_after == 60
        painter.told.set()
        found = await asyncio.gather(*asking)
        assert painter.most == painter.at_once
        assert all(isinstance(steps[-1], Picture) for steps in found)
        assert [steps[0] == Progress("Waiting for earlier pictures") for steps in found].count(True) == MAX_ACTIVE - 2
        assert isinstance((await ask(pictures, "3"))[-1], Picture)
        await pictures.close()
        assert painter.closed == 1

    asyncio.run(work())


@pytest.mark.parametrize("waiting", [False, True])
def test_a_reader_who_leaves_makes_room(waiting: bool) -> None:
    async def work() -> None:
        painter = Painter()
        pictures = Pictures(Settings(), provider=painter)
        others = [asyncio.create_task(ask(pictures, name)) for name in ("b", "c")] if waiting else []
        while painter.drawing < len(others):
            await asyncio.sleep(0)
        steps = pictures.illustrate("It rains.", "Rain", None, "a")
        assert await anext(steps) == Progress("Waiting for earlier pictures" if waiting else "Drawing")
        await steps.aclose()
        cancelled = asyncio.create_task(ask(pictures, "a"))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        assert cancelled.cancelled()
        assert painter.drawing == len(others)
        painter.told.set()
        await asyncio.gather(*others)
        assert isinstance((await ask(pictures, "a"))[-1], Picture)
        assert painter.drawing == 0

    asyncio.run(work())


def test_an_answer_without_a_picture_is_not_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        painter = Painter(b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
        painter.told.set()
        with pytest.raises(PictureError, match="did not send a picture") as caught:
            await ask(Pictures(Settings(), provider=painter), "a")
        assert caught.value.fault is Fault.BROKEN

    asyncio.run(work())
    assert caplog.messages == ["No picture from A painter: neither PNG, JPEG nor WebP"]


@pytest.mark.parametrize(
    ("content", "media_type"),
    [(PNG, "image/png"), (b"\xff\xd8\xff\xe0rest", "image/jpeg"), (b"RIFF\x01\x02\x03\x04WEBPVP8 ", "image/webp")],
)
def test_pictures_are_known_by_their_first_bytes(content: bytes, media_type: str) -> None:
    assert media_type_of(content) == media_type


def test_the_cap_counts_the_hour_before_now() -> None:
    now = 0.0
    cap = HourlyCap(2, lambda: now)
    first = cap.take()
    now = 600.0
    cap.take()
    with pytest.raises(PictureError, match="Ask again in 50 minutes; your plot is not affected") as caught:
        cap.take()
    assert (caught.value.fault, caught.value.retry_after) == (Fault.OVER_CAP, 3000)
    cap.give_back(first)
    cap.take()
    now = 3599.5
    with pytest.raises(PictureError, match="in 11 minutes"):
        cap.check()
    now = 4200.0
    cap.take()
    cap.give_back(first)  # long forgotten


def test_over_the_cap_nobody_waits() -> None:
    async def work() -> None:
        now = 0.0
        painter = Painter()
        pictures = Pictures(Settings(pictures_cap=1), lambda: now, painter)
        pictures._cap.take()
        with pytest.raises(PictureError, match="in 60 minutes"):
            await ask(pictures, "a")
        assert painter.most == 0

    asyncio.run(work())


GOOD = [
    {"pictures": "none"},
    {"pictures": "stability", "pictures_key": "sk-1"},
    {"pictures": "openai", "pictures_key": "sk-1"},
    {"pictures": "openai", "pictures_url": "http://[::1]:8080/v1", "pictures_model": "flux"},
    {"pictures": "automatic1111"},
    {"pictures": "automatic1111", "pictures_key": "writer:secret", "pictures_url": "https://sd.example"},
    {"pictures": "local", "pictures_model": "somewhere"},
]


@pytest.mark.parametrize("values", GOOD, ids=str)
def test_settings_that_go_together(values: dict[str, str]) -> None:
    assert Settings(**values).pictures == values["pictures"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"pictures": "midjourney"}, "PLOTIFY_PICTURES is 'midjourney'; choose one of none, stability"),
        ({"pictures_key": "topsecret"}, "PLOTIFY_PICTURES_KEY is set, but PLOTIFY_PICTURES is 'none' and ignores it"),
        ({"pictures": "stability"}, "PLOTIFY_PICTURES is 'stability', which needs PLOTIFY_PICTURES_KEY"),
        ({"pictures": "openai"}, "which needs PLOTIFY_PICTURES_KEY"),
        ({"pictures": "local"}, "which needs PLOTIFY_PICTURES_MODEL"),
        ({"pictures": "local", "pictures_model": "m", "pictures_url": "http://h"}, "PLOTIFY_PICTURES_URL is set"),
        ({"pictures": "automatic1111", "pictures_url": "127.0.0.1:7860"}, "PLOTIFY_PICTURES_URL must be http"),
        ({"pictures": "automatic1111", "pictures_url": "http://a:topsecret@h"}, "PLOTIFY_PICTURES_URL must be http"),
        ({"pictures": "openai", "pictures_url": "https://h/v1?key=topsecret"}, "PLOTIFY_PICTURES_URL must be http"),
        ({"pictures": "stability", "pictures_key": "topsecret\n"}, "PLOTIFY_PICTURES_KEY holds white space"),
        ({"pictures": "stability", "pictures_key": "topsecrét"}, "PLOTIFY_PICTURES_KEY holds white space"),
        ({"pictures": "automatic1111", "pictures_key": "topsecret"}, "must be user:password"),
        ({"pictures_cap": 0}, "PLOTIFY_PICTURES_CAP is 0; it must be a whole number from 1"),
    ],
    ids=str,
)
def test_settings_that_do_not_are_refused_without_a_word_of_the_key(values: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        Settings(**values)  # type: ignore[arg-type]
    assert "topsecr" not in str(caught.value)


@pytest.mark.parametrize("address", ["http://host:port", "http://[::", "http://host/a b"])
def test_an_address_that_is_none_is_refused_at_the_start(address: str) -> None:
    with pytest.raises(SettingsError, match="PLOTIFY_PICTURES_URL"):
        Pictures(Settings(pictures="automatic1111", pictures_url=address))
