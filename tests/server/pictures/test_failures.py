"""Failures of services: messages, retries, the cap, and secrets."""

import logging
import traceback

import httpx
import pytest

from server.pictures import Fault, Picture, PictureError
from server.pictures.responses import meaning
from server.settings import Settings
from tests.server.pictures.services import Services
from tests.server.pictures.trial import CAP, KINDS, Trial, trying

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
        assert isinstance((await trial.all())[-1], Picture), "the next one succeeds"

    caplog.set_level(logging.DEBUG)
    trying(kind, work)


def assert_no_secret(error: PictureError, caplog: pytest.LogCaptureFixture, settings: Settings) -> None:
    """Check messages, logs and tracebacks with all variables for the key and the writer's words."""
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
        assert "Ask the server's operator" in str(error)
        assert_no_secret(error, caplog, trial.settings)

    caplog.set_level(logging.DEBUG)
    trying(kind, work, pictures_key="writer:Wrong-Secret4711")


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
        trial.provider.patience = 0.2
        error = await trial.fails()
        assert (error.fault, trial.counted) == (Fault.BROKEN, 1)
        assert "took too long" in str(error)
        assert_no_secret(error, caplog, trial.settings)
        assert running.others == (["interrupt"] if kind == "automatic1111" else [])

    trying(kind, work)


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
def test_each_answer_has_its_fault(status: int, body: bytes, fault: Fault) -> None:
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
def test_retry_after_is_read_in_both_forms(header: str, seconds: int | None) -> None:
    assert meaning(answer(429, Retry_After=header), b"").retry_after == seconds
