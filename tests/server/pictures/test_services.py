"""Each service, and each way in which it fails: what the writer is told, what is asked again, what is counted."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import httpx
import pytest

from server.pictures import Fault, Picture, PictureError, Pictures, Progress
from server.pictures.automatic1111 import Automatic1111
from server.pictures.cap import HourlyCap
from server.pictures.openai import OpenAIImages
from server.pictures.service import Service, meaning
from server.pictures.stability import Stability
from server.settings import Settings
from tests.server.pictures.services import KEY, LOGIN, PNG, Services, services

T = TypeVar("T")
PLOT = "A fox (a young one) finds a letter. She follows it into the town."
KINDS = ("stability", "openai", "automatic1111")
PROVIDERS: dict[str, type[Stability] | type[OpenAIImages] | type[Automatic1111]] = {
    "stability": Stability,
    "openai": OpenAIImages,
    "automatic1111": Automatic1111,
}
CAP = 5


class Trial:
    """Pictures of one kind from the services, whose pauses between attempts are noted and take no time."""

    def __init__(self, kind: str, running: Services, **changes: Any) -> None:
        key, path = LOGIN if kind == "automatic1111" else KEY, "/v1" if kind == "openai" else ""
        self.settings = replace(
            Settings(pictures=kind, pictures_url=running.address + path, pictures_key=key, pictures_cap=CAP), **changes
        )
        self.now = 0.0
        self.cap = HourlyCap(self.settings.pictures_cap, lambda: self.now)
        self.provider = PROVIDERS[kind](self.settings, self.cap, patience=20)
        self.provider.service.pause = self._pause
        self.pauses: list[float] = []
        self.pictures = Pictures(self.settings, provider=self.provider)

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def all(self, client: str = "a") -> list[Progress | Picture]:
        return [step async for step in self.pictures.illustrate(PLOT, "The fox", "Drama", client)]

    async def fails(self) -> PictureError:
        with pytest.raises(PictureError) as caught:
            await self.all()
        return caught.value

    @property
    def counted(self) -> int:
        """How many requests the cap holds to be paid for."""
        count = 0
        try:
            while True:
                self.cap.take()
                count += 1
        except PictureError:
            return CAP - count


def trying(kind: str, work: Callable[[Trial, Services], Awaitable[T]], **changes: Any) -> T:
    """Runs `work` with one kind of service."""

    async def run() -> T:
        async with services() as running:
            trial = Trial(kind, running, **changes)
            try:
                return await work(trial, running)
            finally:
                await trial.pictures.close()

    return asyncio.run(run())


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_comes_and_says_what_was_asked_and_who_made_it(kind: str) -> None:
    async def work(trial: Trial, running: Services) -> None:
        *progress, picture = await trial.all()
        assert progress
        assert all(isinstance(step, Progress) and step.stage == "Drawing" for step in progress)
        assert isinstance(picture, Picture)
        assert (picture.media_type, picture.content) == ("image/png", PNG)
        assert picture.prompt.endswith(PLOT)
        assert picture.maker == {"stability": "Stability AI, core", "openai": "gpt-image-1"}.get(
            kind, "Stable Diffusion"
        )
        assert trial.counted == 1
        sent = running.asked[0]["prompt"]
        assert sent.replace("\\", "") == picture.prompt
        assert ("\\(a young one\\)" in sent) == (kind == "automatic1111"), "brackets are syntax there"

    trying(kind, work)


def test_models_are_named_as_each_service_wants_them() -> None:
    async def work(trial: Trial, running: Services) -> dict[str, Any]:
        await trial.all()
        return running.asked[0]

    ultra = trying("stability", work, pictures_model="ultra")
    assert (ultra["model of path"], "model" in ultra) == ("ultra", False)
    large = trying("stability", work, pictures_model="sd3.5-large")
    assert (large["model of path"], large["model"]) == ("sd3", "sd3.5-large")
    assert trying("openai", work, pictures_model="dall-e-3")["model"] == "dall-e-3"
    checkpoint = trying("automatic1111", work, pictures_model="dreamshaper")["override_settings"]
    assert checkpoint == {"sd_model_checkpoint": "dreamshaper"}
    assert "override_settings" not in trying("automatic1111", work)


def test_a_picture_that_is_kept_elsewhere_is_fetched_without_the_key() -> None:
    async def work(trial: Trial, running: Services) -> None:
        running.by_url = True
        picture = (await trial.all())[-1]
        assert isinstance(picture, Picture)
        assert picture.content == PNG

    trying("openai", work)


def test_a_web_ui_tells_how_far_it_is_and_never_backwards() -> None:
    async def work(trial: Trial, running: Services) -> None:
        assert isinstance(trial.provider, Automatic1111)
        trial.provider._look = 0.001
        running.shares = [0.0, 0.25, 0.2, 0.75, 1.5]
        found = await trial.all()
        shares = [step.share for step in found if isinstance(step, Progress)]
        assert shares[:4] == [0.0, 0.25, 0.75, 1.0]

    trying("automatic1111", work)


def test_a_reader_who_leaves_interrupts_a_web_ui() -> None:
    async def work(trial: Trial, running: Services) -> None:
        assert isinstance(trial.provider, Automatic1111)
        trial.provider._look = 0.001
        running.shares = [0.5] * 10_000
        steps = trial.pictures.illustrate(PLOT, "The fox", None, "a")
        while (step := await anext(steps)) != Progress("Drawing", 0.5):
            assert isinstance(step, Progress)
        await steps.aclose()
        assert running.others == ["interrupt"]
        assert trial.counted == 1, "it may have been billed"
        running.shares = []
        trial.now = 3600
        assert isinstance((await trial.all())[-1], Picture), "the client may ask again"

    trying("automatic1111", work)


FAILURES = [
    # what happens, how often it is asked, what it is, how many count for the cap
    (["401"], 1, Fault.NOT_CONFIGURED, 0),
    (["402"], 1, Fault.NOT_CONFIGURED, 0),
    (["404"], 1, Fault.NOT_CONFIGURED, 0),
    (["redirect"], 1, Fault.NOT_CONFIGURED, 0),
    (["400"], 1, Fault.BROKEN, 0),
    (["422"], 1, Fault.BROKEN, 0),
    (["moderation"], 1, Fault.REFUSED, 1),
    (["451"], 1, Fault.REFUSED, 1),
    (["429", "429", "429"], 3, Fault.BUSY, 0),
    (["late"], 1, Fault.BUSY, 0),
    (["500", "502", "503"], 3, Fault.BROKEN, 3),
    (["half", "half", "half"], 3, Fault.BROKEN, 3),
    (["page"], 1, Fault.BROKEN, 1),
    (["empty"], 1, Fault.BROKEN, 1),
    (["huge"], 1, Fault.BROKEN, 1),
    (["packed"], 1, Fault.BROKEN, 1),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("trouble", "asked", "fault", "counted"), FAILURES, ids=lambda value: str(value))
def test_failures_are_told_in_words_and_keys_in_none(
    kind: str, trouble: list[str], asked: int, fault: Fault, counted: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(trial: Trial, running: Services) -> None:
        running.trouble = list(trouble)
        error = await trial.fails()
        assert (error.fault, len(running.asked), trial.counted) == (fault, asked, counted)
        assert_no_secret(error, caplog, trial.settings)
        trial.now = 3600
        running.trouble = []
        assert isinstance((await trial.all())[-1], Picture), "the next one comes"

    caplog.set_level(logging.DEBUG)
    trying(kind, work)


def assert_no_secret(error: PictureError, caplog: pytest.LogCaptureFixture, settings: Settings) -> None:
    """Neither the key nor what was typed is told, logged or in a traceback; not in that of all variables, either."""
    message = str(error)
    assert message[0].isupper()
    assert message.endswith(".")
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    told.stack = traceback.StackSummary.from_list([frame for frame in told.stack if "/tests/" not in frame.filename])
    assert len(told.stack) > 0
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name != "aiohttp.access")
    plainly = "".join(traceback.format_exception(error))
    for text in (message, ours, plainly, "".join(told.format()), repr(settings)):
        assert "Secret4711" not in text
        assert "U2VjcmV0" not in text  # the beginning of it in base64
    for text in (message, ours, plainly):
        assert "finds a letter" not in text
        assert "what was typed" not in text
    assert any(record.name == "server.pictures.pictures" for record in caplog.records)


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_key_is_for_whoever_runs_the_server(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async def work(trial: Trial, running: Services) -> None:
        error = await trial.fails()
        assert (error.fault, trial.counted, running.asked) == (Fault.NOT_CONFIGURED, 0, [])
        assert "Tell whoever runs it" in str(error)
        assert_no_secret(error, caplog, trial.settings)

    caplog.set_level(logging.DEBUG)
    trying(kind, work, pictures_key="writer:Wrong-Secret4711")


@pytest.mark.parametrize("kind", KINDS)
def test_what_may_pass_is_tried_again_when_the_service_says(kind: str) -> None:
    async def work(trial: Trial, running: Services) -> None:
        running.trouble = ["soon", "500"]
        assert isinstance((await trial.all())[-1], Picture)
        assert trial.pauses[0] == 7
        assert 1 <= trial.pauses[1] <= 4
        assert trial.counted == 2, "the one that failed, and the one that came; not the one turned away"

    trying(kind, work)


def test_a_service_that_is_not_there_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def work(trial: Trial, _: Services) -> None:
        error = await trial.fails()
        assert (error.fault, trial.counted, len(trial.pauses)) == (Fault.BROKEN, 0, 2)
        assert "cannot be reached" in str(error)
        assert_no_secret(error, caplog, trial.settings)

    trying("stability", work, pictures_url="http://127.0.0.1:9")


@pytest.mark.parametrize("kind", KINDS)
def test_a_service_that_hangs_is_given_up(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async def work(trial: Trial, running: Services) -> None:
        running.trouble = ["hang"]
        trial.provider.service.patience = 0.2
        error = await trial.fails()
        assert (error.fault, trial.counted) == (Fault.BROKEN, 1)
        assert "took too long" in str(error)
        assert_no_secret(error, caplog, trial.settings)
        assert running.others == (["interrupt"] if kind == "automatic1111" else [])

    trying(kind, work)


def test_a_retry_does_not_pass_the_cap() -> None:
    async def work(trial: Trial, running: Services) -> None:
        running.trouble = ["500"]
        assert (await trial.fails()).fault is Fault.OVER_CAP
        assert len(running.asked) == 1

    trying("openai", work, pictures_cap=1)


@pytest.mark.parametrize(
    ("kind", "trouble", "fault"),
    [
        ("stability", "filtered", Fault.REFUSED),
        ("openai", "money", Fault.NOT_CONFIGURED),
        ("automatic1111", "memory", Fault.BROKEN),
    ],
)
def test_what_only_one_of_them_says_is_understood(kind: str, trouble: str, fault: Fault) -> None:
    async def work(trial: Trial, running: Services) -> None:
        running.trouble = [trouble] * 3
        assert (await trial.fails()).fault is fault

    trying(kind, work)


@pytest.mark.parametrize("trouble", ["404", "page", "huge", "half", "packed"])
def test_a_picture_that_is_not_where_it_should_be(trouble: str) -> None:
    async def work(trial: Trial, running: Services) -> None:
        running.by_url, running.kept_trouble = True, trouble
        error = await trial.fails()
        assert (error.fault, trial.counted) == (Fault.BROKEN, 1)

    trying("openai", work)


def test_a_service_far_away_cannot_point_into_the_network_of_the_server() -> None:
    async def work(trial: Trial, running: Services) -> None:
        far = Service("https://images.example/v1", KEY, trial.cap, patience=5)
        for address in (f"{running.address}/kept.png", "file:///etc/passwd", "//", "https://\0"):
            with pytest.raises(PictureError) as caught:
                await far.fetch(address)
            assert caught.value.fault is Fault.BROKEN
        await far.close()

    trying("openai", work)


BODIES = [
    b"",
    b"[]",
    b"null",
    b"{}",
    b"\xff\xfe",
    b'{"data": []}',
    b'{"data": [{}]}',
    b'{"data": [{"b64_json": "!"}]}',
    b'{"data": [{"b64_json": "\xc3\xa9"}]}',
    b'{"data": [{"url": ""}]}',
    b'{"data": [{"url": "data:image/png;base64,AAAA"}]}',
    b'{"images": []}',
    b'{"images": [null]}',
    b'{"images": ["%"]}',
    b'{"x": ' + b"[" * 100_000,
    b'{"error": {"code": ' + b"[" * 100_000,
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [200, 400])
def test_garbage_is_told_as_such(kind: str, status: int) -> None:
    async def work(trial: Trial, running: Services) -> None:
        for body in BODIES:
            running.answer = (status, body)
            assert (await trial.fails()).fault is Fault.BROKEN

    trying(kind, work, pictures_cap=CAP * 10)


def answer(status: int, body: bytes = b"", **headers: str) -> httpx.Response:
    return httpx.Response(
        status, content=body, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (400, b'{"error": {"code": "content_policy_violation"}}', Fault.REFUSED),
        (400, b'{"error": {"code": "contentFilter"}}', Fault.REFUSED),
        (400, b'{"error": {"code": null, "type": "image_moderation_error"}}', Fault.REFUSED),
        (403, b'{"name": "content_moderation", "errors": []}', Fault.REFUSED),
        (403, b'{"name": "forbidden"}', Fault.NOT_CONFIGURED),
        (400, b'{"error": {"code": "billing_hard_limit_reached"}}', Fault.NOT_CONFIGURED),
        (402, b'{"name": "payment_required"}', Fault.NOT_CONFIGURED),
        (429, b'{"error": {"code": "insufficient_quota"}}', Fault.NOT_CONFIGURED),
        (429, b'{"error": {"code": "rate_limit_exceeded"}}', Fault.BUSY),
        (304, b"", Fault.NOT_CONFIGURED),
        (503, b"<h1>Service Unavailable</h1>", Fault.BROKEN),
    ],
)
def test_what_an_answer_means(status: int, body: bytes, fault: Fault) -> None:
    assert meaning(answer(status), body).fault is fault


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0),
        ("soon", None),
        ("-1", None),
        ("1e9", None),
        ("99999999999", None),
        ("Fri, 31 Dec 1999 23:59:59", None),
    ],
)
def test_when_to_come_again(header: str, seconds: int | None) -> None:
    assert meaning(answer(429, Retry_After=header), b"").retry_after == seconds
