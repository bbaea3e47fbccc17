"""The page as a browser without JavaScript sees it, and what is answered to odd requests."""

import re
from html import unescape
from pathlib import Path

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from server.bundle import Bundle
from server.engine import Engine, Request, Sampling
from server.engine.runner import Runner
from server.pages import STATIC
from tests.server.live import serving

Client = TestClient[Litestar]

SCRIPT = "\"'><script>alert(1)</script>&amp;"


def written(page: str) -> str:
    """The plot's text in a page."""
    found = re.search(r'<span id="continuation">(.*?)</span>', page, re.DOTALL)
    assert found
    return unescape(found[1])


def problem(page: str, field: str) -> str | None:
    """What the page says is wrong with a field."""
    found = re.search(rf'<p class="problem" id="{field}-problem">(.*?)</p>', page, re.DOTALL)
    return unescape(found[1]) if found else None


def test_the_desk_is_a_labelled_form_with_the_models_genres(client: Client, engine: Engine) -> None:
    page = client.get("/").text
    assert '<html lang="en">' in page
    assert "<title>Plotify</title>" in re.sub(r"\s*(</?title>)\s*", r"\1", page)
    for genre in engine.bundle.manifest.prompt.genres:
        assert f"<option>{genre}</option>" in page
    for control in ("prompt", "genre", "seed"):
        assert f'<label for="{control}">' in page
        assert re.search(rf'id="{control}"[^>]*aria-describedby="[^"]*{control}-problem', page, re.DOTALL)
    assert written(page) == ""


def test_no_page_asks_another_host_or_has_script_in_it(client: Client) -> None:
    pages = [client.get(address).text for address in ("/", "/docs", "/nope")]
    for page in (*pages, client.post("/plot", data={"prompt": "A fox"}).text):
        assert all(address.startswith(("/", "#")) for address in re.findall(r'(?:href|src|action)="([^"]*)"', page))
        assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", page)


def test_the_form_is_answered_with_the_plot(client: Client, engine: Engine) -> None:
    fields = {"prompt": "A fox", "genre": "any", "length": "line", "wildness": "3", "seed": "7"}
    response = client.post("/plot", data=fields)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    assert "content-length" not in response.headers
    text = written(response.text)
    defaults = engine.bundle.manifest.sampling
    sampling = Sampling(
        max_tokens=48,
        temperature=defaults.temperature,
        top_k=defaults.top_k,
        top_p=defaults.top_p,
        repetition_penalty=defaults.repetition_penalty,
        seed=7,
    )
    stream = engine.submit(Request(engine.bundle.manifest.prompt.fill("A fox"), sampling))
    whole = "".join(chunk.text for chunk in stream)
    assert text
    assert whole.replace("\r\n", "\n").startswith(text.replace("\r\n", "\n"))


def test_the_answer_keeps_what_was_typed_and_offers_the_plot_again(client: Client) -> None:
    fields = {"prompt": "A fox", "genre": "Horror", "length": "line", "wildness": "5", "seed": ""}
    page = client.post("/plot", data=fields).text
    assert re.search(r"<textarea[^>]*>\nA fox</textarea>", page, re.DOTALL)
    assert "<option selected>Horror</option>" in page
    assert re.search(r'value="line" checked', page)
    assert re.search(r'value="5" checked', page)
    assert '<button id="again" name="seed" value="">' in page
    seed = re.search(r'<a href="/\?([^"]*)">Seed (\d+)</a>', page)
    assert seed
    form = client.get(f"/?{unescape(seed[1])}").text
    assert f'value="{seed[2]}"' in form
    again = client.post("/plot", data=fields | {"seed": seed[2]}).text
    assert written(again) == written(page)


def test_again_takes_another_seed_than_the_one_typed(client: Client) -> None:
    pages = [client.post("/plot", data={"prompt": "A fox", "seed": ["7", ""]}).text for _ in range(2)]
    seeds = [re.findall(r"Seed (\d+)", page) for page in pages]
    assert seeds[0] != seeds[1]


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({}, {"prompt"}),
        ({"prompt": "   "}, {"prompt"}),
        ({"prompt": "A fox, and so on. " * 500, "genre": "Horror"}, {"prompt"}),
        ({"prompt": "A fox", "genre": "Western"}, {"genre"}),
        ({"prompt": "A fox", "length": "9", "wildness": "x", "seed": "1e9"}, {"length", "wildness", "seed"}),
    ],
)
def test_a_form_with_mistakes_comes_back(client: Client, fields: dict[str, str], at_fault: set[str]) -> None:
    response = client.post("/plot", data=fields)
    assert response.status_code == 422
    page = response.text
    assert {field for field in ("prompt", "genre", "length", "wildness", "seed") if problem(page, field)} == at_fault
    assert f">\n{fields.get('prompt', '')}</textarea>" in page
    assert f'value="{fields.get("seed", "")}"' in page
    assert written(page) == ""


def test_what_is_typed_stays_text(client: Client) -> None:
    for response in (
        client.get("/", params={"prompt": SCRIPT, "seed": SCRIPT}),
        client.post("/plot", data={"prompt": SCRIPT, "seed": SCRIPT, "genre": SCRIPT}),
        client.post("/plot", data={"prompt": SCRIPT}),
    ):
        assert "<script>alert" not in response.text
        assert SCRIPT in unescape(response.text)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"prompt=\xff\xfe+x&length=line", "application/x-www-form-urlencoded", 200),
        (b"prompt=%ff%00%ed%a0%80&length=line", "application/x-www-form-urlencoded", 200),
        (b"&&==%%%&prompt", "application/x-www-form-urlencoded", 422),
        (b"--x\r\n", "multipart/form-data", 422),
        (b'{"prompt": 1}', "application/json", 422),
        (b"\x00" * 100, "", 422),
        (b"prompt=" + b"a" * 300_000, "application/x-www-form-urlencoded", 413),
    ],
)
def test_garbage_is_refused_or_read_as_text(client: Client, content: bytes, kind: str, status: int) -> None:
    response = client.post("/plot", content=content, headers={"Content-Type": kind})
    assert response.status_code == status
    assert "</html>" in response.text


def test_a_full_queue_keeps_the_form(client: Client, engine: Engine, slow_decoding: float) -> None:
    streams = [engine.submit(Request("x", Sampling(ignore_end=True))) for _ in range(4 + engine.queue)]
    response = client.post("/plot", data={"prompt": "A fox"})
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert "requests are waiting already" in response.text
    assert ">\nA fox</textarea>" in response.text
    for stream in streams:
        stream.cancel()


def test_a_plot_that_breaks_off_says_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(runner: Runner, tokens: list[int], lengths: list[int]) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Runner, "decode", fail)
    page = client.post("/plot", data={"prompt": "A fox"}).text
    assert "The plot broke off: the model failed: out of memory." in page
    assert "</html>" in page


def test_a_fault_of_ours_is_a_plain_page(engine: Engine, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "submit", lambda request: 1 / 0)
    client.app.debug = False
    with TestClient(client.app, raise_server_exceptions=False) as quiet:
        page, plot = quiet.post("/plot", data={"prompt": "x"}), quiet.post("/api/plots", json={"prompt": "x"})
    assert page.status_code == plot.status_code == 500
    assert "Something went wrong here." in page.text
    assert plot.json() == {"message": "Something went wrong here."}
    assert "ZeroDivisionError" not in page.text + plot.text


def test_addresses_that_are_none(client: Client) -> None:
    assert client.get("/nope").status_code == 404
    assert client.put("/plot").status_code == 405
    assert client.get("/plot", follow_redirects=False).headers["location"] == "/"
    assert client.get("/static/../app.py").status_code == 404


@pytest.mark.parametrize("name", ["nope.css", "desk.js/nope", "desk.js/..", "a" * 300, "%00", "desk.js%00", "%ff", ""])
def test_a_file_that_is_none(client: Client, name: str) -> None:
    """Of some names the file system says more than that there is no such file."""
    assert client.get(f"/static/{name}").status_code == 404


@pytest.mark.parametrize("host", ["a:b", "a:99999", ": 127.0.0.1", "<b>"])
@pytest.mark.parametrize(("path", "other"), [("/", 200), ("/docs", 400), ("/nope", 404), ("/v1/nope", 404)])
def test_a_host_that_is_none(client: Client, host: str, path: str, other: int) -> None:
    """Litestar itself refuses what has a character that no address has."""
    answer = client.get(path, headers={"Host": host})
    assert answer.status_code == (400 if set(host) & set(" <") else other)


def test_static_files_are_cached_and_small(bundle: Bundle) -> None:
    """Asked for from the server's own machine, which sees all pages."""
    with serving(bundle) as live, httpx.Client(base_url=live.address) as client:
        pages = "".join(client.get(address).text for address in ("/", "/docs", "/status"))
        addresses = set(re.findall(r'"(/static/[^"]*)"', pages))
        assert {Path(address.split("?")[0]).name for address in addresses} == {file.name for file in STATIC.iterdir()}
        for address in addresses:
            answer = client.get(address)
            assert answer.status_code == 200
            assert "immutable" in answer.headers["cache-control"]
            assert len(answer.content) < 10_000


def test_health(client: Client) -> None:
    idle = {"status": "ok", "model": "plotify-tiny", "running": 0, "waiting": 0}
    assert client.get("/healthz").json() == {**idle, "written": 0}
    order = {"model": "plotify-tiny", "prompt": "A fox", "max_tokens": 7, "ignore_eos": True}
    assert client.post("/v1/completions", json=order).status_code == 200
    assert client.get("/healthz").json() == {**idle, "written": 7}
