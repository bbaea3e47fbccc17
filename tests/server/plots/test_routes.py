"""The responses of /api/plots to right, wrong and odd requests."""

import asyncio
import gc
import json
import weakref
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient

from server.app import create_app
from server.engine import Engine, Request, Stream
from server.engine.batch import Batch
from server.engine.model.runner import Runner
from server.engine.stats import StepStats
from server.settings import Settings
from server.writing.brief import Brief
from server.writing.plot import begin
from tests.server.live import fill_up, wait_until_idle

Client = TestClient[Litestar]
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


def ended(client: Client, plot: dict[str, Any]) -> dict[str, Any]:
    """Return a plot at its end."""
    assert client.get(plot["events"]).status_code == 200
    found: dict[str, Any] = client.get(plot["self"]).json()
    return found


def test_json_and_a_form_start_the_same_plot(client: Client) -> None:
    fields = {"prompt": "A fox", "genre": "Horror", "length": "line", "wildness": 4, "seed": 5}
    answers = [client.post("/api/plots", json=fields), client.post("/api/plots", data=fields)]
    for answer in answers:
        assert answer.status_code == 201
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["location"] == answer.json()["self"] == f"/api/plots/{answer.json()['id']}"
        assert answer.json()["seed"] == 5
    assert ended(client, answers[0].json())["text"] == ended(client, answers[1].json())["text"] != ""


def test_no_answer_is_for_search_engines(client: Client) -> None:
    """A plot's address is a secret, and the plot may be a writer's own."""
    plot = client.post("/api/plots", json={"prompt": "A fox", "length": "line"}).json()
    addresses = (plot["self"], plot["events"], "/api/plots/unknown", "/api/plots/unknown/events")
    answers = [client.get(address) for address in addresses]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 404]
    for answer in (*answers, client.delete(plot["self"]), client.options(plot["self"])):
        assert answer.headers["x-robots-tag"] == "noindex"


@pytest.mark.parametrize(
    ("content", "kind", "status", "says"),
    [
        ('{"prompt": " ", "wildness": 9}', JSON, 422, "Write a few words to begin with. Choose a number from 1 to 5."),
        ('{"prompt": "x", "genre": "Western"}', JSON, 422, "Choose “any” or one of:"),
        ('{"prompt": "x", "length": "9"}', JSON, 422, "Choose one of: line, lines, paragraph."),
        ('{"prompt": "x", "seed": -2}', JSON, 422, "A seed is a whole number"),
        ("prompt=x&seed=1e9", FORM, 422, "A seed is a whole number"),
        ("", FORM, 422, "Write a few words"),
        ("", JSON, 422, "Write a few words"),
        ("", "", 415, "The body's type is ''; send"),
        ('{"prompt": "' + "a long way " * 500 + '"}', JSON, 422, "Too long for the model"),
        ('{"prompt": 5}', JSON, 400, "The body does not describe a plot: prompt: Expected `str`, got `int`"),
        ('{"prompt": "x", "wildness": 2.5}', JSON, 400, "wildness: Expected `int | str | null`, got `float`."),
        ("[]", JSON, 400, "The body does not describe a plot: data: Expected `object`, got `array`."),
        ("{", JSON, 400, "The body is not JSON: "),
        (b"\xff", JSON, 400, "The body is not JSON: "),
        (b'{"prompt":"\xff"}', JSON, 400, "The body is not JSON: "),
        ('{"prompt": "\\ud800"}', JSON, 400, "The body is not JSON: "),
        ("[" * 100_000, JSON, 400, "The body is not JSON: "),
        ('{"prompt": "x"}', "text/plain", 415, "The body's type is 'text/plain'; send application/json or"),
        ('{"prompt": "x"}', "", 415, "The body's type is ''; send"),
        ("--x\r\n", "multipart/form-data; boundary=x", 415, "The body's type is 'multipart/form-data'; send"),
        ("prompt=" + "a" * 300_000, FORM, 413, "far more text than the model can read"),
    ],
)
def test_what_cannot_be_worked_from_is_told(
    client: Client, engine: Engine, content: str | bytes, kind: str, status: int, says: str
) -> None:
    answer = client.post("/api/plots", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.headers["content-type"] == JSON
    assert says in answer.json()["message"]
    assert ("problems" in answer.json()) == (status == 422)
    assert engine.running == engine.queued == 0


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.one_of(
        st.binary(max_size=60),
        st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(
                ("prompt", "genre", "length", "wildness", "seed", "x"),
                st.one_of(
                    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.lists(st.none())
                ),
            ),
        ),
    ),
    st.sampled_from([JSON, FORM]),
)
def test_garbage_is_never_an_error_of_ours(client: Client, engine: Engine, garbage: Any, kind: str) -> None:
    if isinstance(garbage, bytes):
        answer = client.post("/api/plots", content=garbage, headers={"Content-Type": kind})
    elif kind == JSON:
        answer = client.post("/api/plots", content=json.dumps(garbage), headers={"Content-Type": kind})
    else:
        answer = client.post("/api/plots", data={name: str(value) for name, value in garbage.items()})
    assert answer.status_code in (201, 400, 415, 422)
    if answer.status_code == 201:
        assert client.delete(answer.json()["self"]).status_code == 204
    wait_until_idle(engine)


def test_a_plot_that_has_ended_sends_a_reader_who_knows_all_of_it_away(client: Client) -> None:
    plot = client.post("/api/plots", json={"prompt": "A fox", "length": "line"}).json()
    last = ended(client, plot)["last_event_id"]
    answer = client.get(plot["events"], headers={"Last-Event-ID": last})
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["cache-control"] == "no-store"
    answer = client.get(plot["events"], headers={"Last-Event-ID": last.removesuffix("-end")})
    assert answer.text.startswith(f"retry: 1000\nid: {last}\nevent: done\n")


def test_the_last_event_id_is_taken_from_the_header_else_from_the_query(client: Client) -> None:
    plot = client.post("/api/plots", json={"prompt": "A fox", "length": "line", "seed": 1}).json()
    ended(client, plot)
    ids = [line.removeprefix("id: ") for line in client.get(plot["events"]).text.split("\n") if line.startswith("id: ")]
    assert len(ids) > 6
    for third, fifth in (("3", "5"), (ids[2], ids[4])):  # a number, as in earlier versions, means the same
        rest = client.get(plot["events"], params={"last-event-id": third}).text
        assert rest.startswith(f"retry: 1000\nid: {ids[3]}\n")
        # A browser that reconnects sends its first query again.
        rest = client.get(plot["events"], params={"last-event-id": third}, headers={"Last-Event-ID": fifth}).text
        assert rest.startswith(f"retry: 1000\nid: {ids[5]}\n")
    for wrong in ("x", "-1", "1.0", str(len(ids) + 1), "9" * 5000, "1-0", "1-012345678g"):
        for given_as in ({"params": {"last-event-id": wrong}}, {"headers": {"Last-Event-ID": wrong}}):
            answer = client.get(plot["events"], **given_as)  # type: ignore[arg-type]
            assert answer.status_code == 400
            assert "it must be the id of an event of this plot." in answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [
        ("GET", "/api/plots/none", 404),
        ("GET", "/api/plots/none/events", 404),
        ("DELETE", "/api/plots/none", 404),
        ("GET", "/api/plots/%00%ff", 404),
        ("GET", "/api/plots/none/nothing", 404),
        ("GET", "/api/nothing", 404),
        ("GET", "/api", 404),
        ("GET", "/api/plots", 405),
        ("PUT", "/api/plots/none", 405),
    ],
)
def test_addresses_that_are_none_are_answered_with_json(client: Client, method: str, address: str, status: int) -> None:
    answer = client.request(method, address)
    assert answer.status_code == status
    assert answer.json()["message"]
    if "none" in address and status == 404 and "nothing" not in address:
        assert answer.json()["message"].startswith("There is no plot none: ")


def test_a_full_queue_is_told(client: Client, engine: Engine, slow_decoding: float) -> None:
    streams = fill_up(engine)
    answer = client.post("/api/plots", json={"prompt": "A fox"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert "requests are waiting already" in answer.json()["message"]
    for stream in streams:
        stream.cancel()


def test_a_plot_that_breaks_off_says_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(runner: Runner, tokens: list[int], lengths: list[int]) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Runner, "decode", fail)
    monkeypatch.setattr("server.plots.generation.PATIENCE", 1.0)
    plot = client.post("/api/plots", json={"prompt": "A fox"}).json()
    says = "The plot broke off: the model failed: out of memory."
    assert client.get(plot["events"]).text.endswith(f'event: error\ndata: {{"message":"{says}"}}\n\n')
    found = client.get(plot["self"]).json()
    assert (found["state"], found["finish_reason"], found["problem"]) == ("error", None, says)


def test_a_plot_that_fails_again_says_why_it_failed_first(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = count(1)

    def fail(batch: Batch, step: StepStats) -> None:
        raise RuntimeError(f"failure {next(failures)}")

    monkeypatch.setattr(Batch, "_decode", fail)  # the model itself is well: it can be loaded again
    plot = client.post("/api/plots", json={"prompt": "A fox"}).json()
    says = "The plot broke off: the model failed: failure 1."
    assert client.get(plot["events"]).text.endswith(f'event: error\ndata: {{"message":"{says}"}}\n\n')
    assert next(failures) > 2


def test_a_plot_that_has_ended_holds_nothing_of_the_engine(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended plots can be many, and stay for long."""
    submit = engine.submit_several
    streams: list[weakref.ref[Stream]] = []

    def remembered(request: Request, count: int) -> list[Stream]:
        submitted = submit(request, count)
        streams.extend(map(weakref.ref, submitted))
        return submitted

    monkeypatch.setattr(engine, "submit_several", remembered)
    [plot] = begin(engine, Brief.read({"prompt": "A fox", "length": "line"}, engine.bundle.manifest), max_tokens=4)

    async def read() -> str:
        return "".join([text async for text in plot])

    assert asyncio.run(read())
    plot.cancel()
    gc.collect()
    assert [stream() for stream in streams] == [None]
    assert plot.finish_reason == "length"
    assert asyncio.run(read()) == ""


@pytest.mark.parametrize("recorded", [3600, 0])
def test_a_plot_is_forgotten(engine: Engine, recorded: int) -> None:
    with TestClient(create_app(engine, Settings(plot_limit=1, plot_record=recorded))) as client:
        plots = []
        for _ in range(2):
            plots.append(client.post("/api/plots", json={"prompt": "A fox", "length": "line"}).json())
            client.get(plots[-1]["events"])
        answer = client.get(plots[0]["self"])
        if recorded:  # it is generated again
            assert answer.status_code == 200
            assert "event: done" in client.get(plots[0]["events"]).text
            return
        assert answer.status_code == 404
        assert answer.json()["message"] == (
            f"There is no plot {plots[0]['id']}: it never existed, it ended and was forgotten, or the server has "
            "restarted. You can read a plot for 300 seconds after its end."
        )
        assert client.get(plots[1]["self"]).json()["state"] == "done"
