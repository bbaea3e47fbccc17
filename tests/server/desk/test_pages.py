"""The page in a browser without JavaScript, and the responses to odd requests."""

import re
from html import unescape
from pathlib import Path

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from server.bundle import Bundle
from server.desk.caret_routes import MAX_FORM
from server.engine import Engine
from server.engine.model.runner import Runner
from server.http.static import FILES
from server.rendering import listed
from tests.server.at_desk import form, go_on, offered
from tests.server.live import fill_up, serving

Client = TestClient[Litestar]

SCRIPT = "\"'><script>alert(1)</script>&amp;"


def problem(page: str, field: str) -> str | None:
    """Return the problem with a field on the page."""
    found = re.search(rf'<p class="problem" id="{field}-problem">(.*?)</p>', page, re.DOTALL)
    return unescape(found[1]) if found else None


def test_the_desk_is_a_labelled_form_with_the_models_genres(client: Client, engine: Engine) -> None:
    page = client.get("/").text
    assert '<html lang="en">' in page
    assert "<title>Plotify</title>" in re.sub(r"\s*(</?title>)\s*", r"\1", page)
    for genre in engine.bundle.manifest.prompt.genres:
        assert f"<option>{genre}</option>" in page
    for control in ("text", "genre", "avoid", "seed"):
        assert re.search(rf'<label[^>]* for="{control}">', page)
        assert re.search(rf'id="{control}"[^>]*aria-describedby="[^"]*{control}-problem', page, re.DOTALL)
    assert offered(page) == []


def test_no_page_asks_another_host_or_has_script_in_it(client: Client) -> None:
    pages = [client.get(address).text for address in ("/", "/shelf", "/about", "/docs", "/nope")]
    for page in (*pages, go_on(client, "A fox").text):
        loaded = re.findall(r'<(?!a )[^>]* (?:href|src|action)="([^"]*)"', page)
        assert loaded
        assert all(address.startswith("/") for address in loaded)
        assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", page)


def test_the_form_is_answered_with_three_ways_on(client: Client) -> None:
    response = go_on(client, "A fox", length="line", seed="7")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    assert "content-length" not in response.headers
    texts = offered(response.text)
    assert len(texts) == 3
    assert all(texts)


def test_an_engine_with_few_rows_offers_fewer(client: Client) -> None:
    pages = [go_on(client, "A fox", genre=genre, length="line").text for genre in ("any", "Horror")]
    assert [len(offered(page)) for page in pages] == [3, 2]


def test_the_answer_keeps_what_was_typed_and_its_seed_offers_the_same_again(client: Client) -> None:
    typed = {"genre": "Horror", "length": "line", "wildness": "5", "avoid": "the, a fox", "seed": "7"}
    page = go_on(client, "A fox", **typed).text
    assert re.search(r"<textarea[^>]*>\nA fox</textarea>", page, re.DOTALL)
    assert "<option selected>Horror</option>" in page
    assert re.search(r'value="line" checked', page)
    assert re.search(r'value="5" checked', page)
    assert 'value="the, a fox"' in page
    assert 'value="7"' in page
    assert offered(go_on(client, "A fox", **typed).text) == offered(page)
    assert offered(go_on(client, "A fox", **typed | {"seed": "8"}).text) != offered(page)


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"text": "A fox, and so on. " * 6_000}, {"text"}),
        ({"genre": "Western"}, {"genre"}),
        ({"length": "9", "wildness": "x", "seed": "1e9"}, {"length", "wildness", "seed"}),
        ({"avoid": "fox" * 500}, {"avoid"}),
    ],
)
def test_a_form_with_mistakes_comes_back(client: Client, fields: dict[str, str], at_fault: set[str]) -> None:
    typed = {"text": "A fox"} | fields
    response = go_on(client, **typed)
    assert response.status_code == 422
    page = response.text
    controls = ("text", "prompt", "genre", "length", "wildness", "avoid", "seed")
    assert {control for control in controls if problem(page, control)} == at_fault
    assert f">\n{typed['text']}</textarea>" in page
    assert f'value="{fields.get("seed", "")}"' in page
    assert offered(page) == []


def test_what_is_typed_stays_text(client: Client) -> None:
    for response in (
        client.get("/", params={"text": SCRIPT, "seed": SCRIPT}),
        go_on(client, SCRIPT, seed=SCRIPT, genre=SCRIPT, avoid=SCRIPT),
        go_on(client, SCRIPT),
        client.get("/shelf", params={"q": SCRIPT}),
    ):
        assert "<script>alert" not in response.text
        assert SCRIPT in unescape(response.text)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"text=\xff\xfe+x&length=line", "application/x-www-form-urlencoded", 200),
        (b"text=%ff%ed%a0%80&length=line", "application/x-www-form-urlencoded", 200),
        (b"text=%00", "application/x-www-form-urlencoded", 422),
        (b"&&==%%%&text", "application/x-www-form-urlencoded", 200),
        (b"--x\r\n", "multipart/form-data", 403),
        (b'{"text": 1}', "application/json", 403),
        (b"\x00" * 100, "", 403),
        (b"text=" + b"a" * 300_000, "application/x-www-form-urlencoded", 422),
        (b"text=" + b"a" * MAX_FORM, "application/x-www-form-urlencoded", 413),
    ],
)
def test_garbage_is_refused_or_read_as_text(client: Client, content: bytes, kind: str, status: int) -> None:
    """A body that is not a form has no token."""
    known = f"do=continue&token={form(client)['token']}&".encode() if kind.endswith("form-urlencoded") else b""
    response = client.post("/desk", content=known + content, headers={"Content-Type": kind})
    assert response.status_code == status
    assert "</html>" in response.text


def test_a_full_queue_keeps_the_form(client: Client, engine: Engine, slow_decoding: float) -> None:
    streams = fill_up(engine)
    response = go_on(client, "A fox")
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert "requests are waiting already" in response.text
    assert ">\nA fox</textarea>" in response.text
    for stream in streams:
        stream.cancel()


def test_an_offer_that_breaks_off_says_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(runner: Runner, tokens: list[int], lengths: list[int]) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Runner, "decode", fail)
    page = go_on(client, "A fox").text
    assert '<p slot="after" class="problem" translate="yes">' in page
    assert "the model failed: out of memory" in page
    assert "</html>" in page


def test_a_fault_of_ours_is_a_plain_page(engine: Engine, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "submit_several", lambda request, count: 1 / 0)
    client.app.debug = False
    with TestClient(client.app, raise_server_exceptions=False) as quiet:
        page, plot = go_on(quiet, "x"), quiet.post("/api/plots", json={"prompt": "x"})
    assert page.status_code == plot.status_code == 500
    assert "Something went wrong here." in page.text
    assert plot.json() == {"message": "Something went wrong here."}
    assert "ZeroDivisionError" not in page.text + plot.text


def test_addresses_that_are_none(client: Client) -> None:
    assert client.get("/nope").status_code == 404
    assert client.put("/desk").status_code == 405
    assert client.get("/desk", follow_redirects=False).headers["location"] == "/"
    assert client.get("/static/../app.py").status_code == 404


@pytest.mark.parametrize("name", ["nope.css", "desk.js/nope", "desk.js/..", "a" * 300, "%00", "desk.js%00", "%ff", ""])
def test_a_file_that_is_none(client: Client, name: str) -> None:
    """For some names, the file system raises other errors."""
    assert client.get(f"/static/{name}").status_code == 404


@pytest.mark.parametrize("host", ["a:b", "a:99999", ": 127.0.0.1", "<b>"])
@pytest.mark.parametrize(("path", "other"), [("/", 400), ("/docs", 400), ("/nope", 404), ("/v1/nope", 404)])
def test_a_host_that_is_none(client: Client, host: str, path: str, other: int) -> None:
    """Litestar itself refuses hosts with impossible characters."""
    answer = client.get(path, headers={"Host": host})
    assert answer.status_code == (400 if set(host) & set(" <") else other)


LARGEST_SCRIPT = 30 * 1024
"""The most bytes of the desk's script, uncompressed."""

TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2"}


def test_static_files_are_cached_and_small(bundle: Bundle) -> None:
    """The client is on the server's own machine, so it sees all pages."""
    with serving(bundle) as live, httpx.Client(base_url=live.address, timeout=60) as client:
        kept = client.post("/desk", data=form(client, text="A fox", do="keep"), headers={"Accept": "application/json"})
        plot = kept.json()["address"]
        visited = ("/", "/shelf", "/docs", "/status", f"{plot}/words", f"{plot}/about")
        pages = "".join(client.get(address).text for address in visited)
        addresses = set(re.findall(r'"(/static/[^"]*)"', pages))
        assert {Path(address).name for address in addresses} == set(FILES)
        for address in addresses:
            answer = client.get(address)
            assert answer.status_code == 200
            assert "immutable" in answer.headers["cache-control"]
            assert answer.headers["content-type"].split(";")[0] == TYPES[Path(address).suffix]
            assert len(answer.content) < (30_000 if address.endswith(".woff2") else 15_000)
            plain = client.get(address, headers={"Accept-Encoding": "identity"})
            assert plain.content == answer.content == FILES[Path(address).name]
        script = [address for address in addresses if Path(address).name.startswith("desk") and address.endswith(".js")]
        assert sum(len(client.get(address).content) for address in script) < LARGEST_SCRIPT
        stale = client.get(f"/static/{'0' * 12}/desk.js")
        assert (stale.status_code, stale.headers["cache-control"]) == (200, "no-cache")


def test_health(client: Client) -> None:
    idle = {"status": "ok", "model": "plotify-tiny", "running": 0, "waiting": 0}
    assert client.get("/healthz").json() == {**idle, "written": 0}
    order = {"model": "plotify-tiny", "prompt": "A fox", "max_tokens": 7, "ignore_eos": True}
    assert client.post("/v1/completions", json=order).status_code == 200
    assert client.get("/healthz").json() == {**idle, "written": 7}


@pytest.mark.parametrize(
    ("titles", "said"),
    [
        (["A"], "“A”"),
        (["A", "B"], "“A” and “B”"),
        (["A", "B", "C"], "“A”, “B” and “C”"),
        (["A", "B", "C", "D", "E"], "“A”, “B”, “C” and 2 more"),
    ],
)
def test_titles_are_named_in_a_sentence(titles: list[str], said: str) -> None:
    assert listed(titles) == said
