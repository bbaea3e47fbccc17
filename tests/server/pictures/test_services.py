"""Each service without failures, and after a retry."""

from typing import Any

import pytest

from server.pictures import Fault, Picture, PictureError, Progress
from server.pictures.automatic1111 import Automatic1111, plain
from server.pictures.http_provider import HttpProvider
from tests.server.pictures.services import KEY, PNG, Services
from tests.server.pictures.trial import KINDS, PLOT, Trial, trying


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


def test_a_plot_says_nothing_in_the_web_uis_own_syntax() -> None:
    assert plain(r"<lora:x:9> (a:1.5) [b|c] one AND two BREAK SAND \ end") == (
        r"lora:x:9 \(a:1.5\) \[b|c\] one and two break SAND \\ end"
    )


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


@pytest.mark.parametrize("kind", KINDS)
def test_a_temporary_failure_is_tried_again_after_the_services_pause(kind: str) -> None:
    async def work(trial: Trial, running: Services) -> None:
        running.trouble = ["soon", "500"]
        assert isinstance((await trial.all())[-1], Picture)
        assert trial.pauses[0] == 7
        assert 1 <= trial.pauses[1] <= 4
        assert trial.counted == 2, "the failed and the successful request count, the rejected one does not"

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
def test_answers_of_a_single_service_are_understood(kind: str, trouble: str, fault: Fault) -> None:
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
        far = HttpProvider("https://images.example/v1", KEY, trial.cap, patience=5)
        for address in (
            f"{running.address}/kept.png",
            "file:///etc/passwd",
            "//",
            "https://\0",
            "https://a..b",
            "https://127.0.0.1:99999",
        ):
            with pytest.raises(PictureError) as caught:
                await far.fetch(address)
            assert caught.value.fault is Fault.BROKEN
        await far.close()

    trying("openai", work)
