"""The desk, with requests of a browser without JavaScript, and of its script."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from litestar import Litestar
from litestar._parsers import parse_url_encoded_form_data
from litestar.testing import TestClient

from server.app import MAX_BODY, create_app
from server.bundle import Bundle
from server.desk.caret_routes import MAX_FORM
from server.desk.writers import COOKIE
from server.engine import Engine, EngineConfig
from server.rendering import TEMPLATES
from server.settings import Settings
from server.shelf import bounds
from server.writing.fields import MOST
from tests.server.at_desk import choices, offered, plot_of
from tests.server.desk.visiting import Visitor, shelf_cookie, typed
from tests.server.live import fill_up

JSON, EVENTS = "application/json", "text/event-stream"
ASKED = {"do": "continue", "length": "line", "seed": "7", "text": "A fox"}


@pytest.fixture
def client(bundle: Bundle, tmp_path: Path) -> Iterator[TestClient[Litestar]]:
    """An engine with room for three continuations with a genre."""
    with Engine(bundle, EngineConfig(threads=1, queue=4, rows=8)) as engine:
        app = create_app(engine, Settings(database=str(tmp_path / "shelf.sqlite")))
        app.debug = False
        with TestClient(app) as client:
            client.app.state.engine = engine
            yield client


@pytest.fixture
def visitor(client: TestClient[Litestar]) -> Visitor:
    return Visitor(client)


def events_of(answer: httpx.Response) -> list[tuple[str, Any]]:
    """Return the events of a stream, by name."""
    assert answer.headers["content-type"].startswith(EVENTS)
    frames = [frame.split("\n") for frame in answer.text.split("\n\n") if frame.startswith("event: ")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in frames]


def another(visitor: Visitor) -> Visitor:
    """Return another visitor of the same server. The cookie of the first one is lost."""
    visitor.client.cookies.clear()
    return Visitor(visitor.client)


@pytest.mark.parametrize("accept", ["text/html", JSON, "text/event-stream"])
@pytest.mark.parametrize("wrong", ["no cookie", "no token", "another's token"])
def test_a_form_of_nobody_is_refused_and_its_text_is_there(visitor: Visitor, wrong: str, accept: str) -> None:
    token = visitor.token
    if wrong == "no cookie":
        visitor.client.cookies.clear()
    visitor.token = token if wrong == "no cookie" else "" if wrong == "no token" else "0" * 64
    answer = visitor.send(ASKED | {"text": "A fox <b>"}, accept)
    assert answer.status_code == 403
    if accept == "text/html":
        assert typed(answer.text) == "A fox <b>"
        assert "This form is too old" in answer.text
    else:
        assert answer.json() == {"message": answer.json()["message"], "problems": {}}
        assert "This form is too old" in answer.json()["message"]


def test_the_page_of_a_refusal_can_be_sent_again(visitor: Visitor) -> None:
    visitor.client.cookies.clear()
    page = visitor.send(ASKED).text
    token = page.partition('name="token" value="')[2].partition('"')[0]
    visitor.token = token
    assert visitor.send(ASKED | {"do": "keep"}).status_code == 303


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(client: TestClient[Litestar]) -> None:
    cookie = client.get("/").headers["set-cookie"].lower()
    assert re.match(f"{COOKIE}_[0-9a-f]{{16}}=", cookie)
    assert {"httponly", "samesite=lax", "path=/"} <= {part.strip() for part in cookie.split(";")}


def test_servers_on_one_host_leave_each_others_cookies_alone(
    client: TestClient[Litestar], visitor: Visitor, tmp_path: Path
) -> None:
    """Browsers send the cookies of a host to all its ports."""
    plot = visitor.keep("A fox")["plot"]
    neighbour = create_app(client.app.state.engine, Settings(database=str(tmp_path / "another.sqlite")))
    neighbour.debug = False
    with TestClient(neighbour) as other:
        other.cookies.jar = client.cookies.jar  # one browser
        assert other.get(f"/shelf/{plot}").status_code == 404
        other_plot = Visitor(other).keep("A hound")["plot"]
        assert len(other.cookies) == 2
        assert typed(client.get(f"/shelf/{plot}").text) == "A fox"
        assert typed(other.get(f"/shelf/{other_plot}").text) == "A hound"


def test_the_cookie_of_an_earlier_version_still_opens_the_shelf(client: TestClient[Litestar], visitor: Visitor) -> None:
    plot = visitor.keep("A fox")["plot"]
    _, value = shelf_cookie(client)
    client.cookies.clear()
    page = client.get(f"/shelf/{plot}", headers={"Cookie": f"{COOKIE}={value}"})
    assert typed(page.text) == "A fox"
    assert shelf_cookie(client)[1] == value


def test_anothers_plot_is_not_there_and_the_text_is_still_on_the_page(visitor: Visitor) -> None:
    plot = visitor.keep("A fox")["plot"]
    other = another(visitor)
    answer = other.send({"text": "A hound", "plot": plot, "choose": "1"})
    assert answer.status_code == 404
    assert typed(answer.text) == "A hound"
    assert "A fox" not in answer.text
    for path in ("", "/about", "/plot.md", "/plot.txt"):
        answer = other.client.get(f"/shelf/{plot}{path}")
        assert answer.status_code == 404
        assert "A fox" not in answer.text
    for fields in ({"do": "delete"}, {"do": "share"}, {"do": "rename", "title": "Mine"}, {"go": "0"}, {"branch": "1"}):
        form = {"token": other.token} | fields
        assert other.client.post(f"/shelf/{plot}", data=form).status_code == 404
    assert "Nothing here yet" in other.client.get("/shelf").text
    for do in ("keep", "undo", "redo", "stop"):
        kept = other.send({"text": "A hound", "plot": plot, "do": do}).headers["location"]
        assert plot not in kept
        assert typed(other.client.get(kept).text) == "A hound"


def test_the_text_of_a_plot_that_was_deleted_is_kept_as_a_new_one(visitor: Visitor) -> None:
    """Another tab deleted it. This one still shows it, and sends its form again and again."""
    plot = visitor.keep("A fox")["plot"]
    fields = {"text": "A fox ran", "plot": plot, "page": "of this tab"}
    visitor.client.post(f"/shelf/{plot}", data={"token": visitor.token, "do": "delete"})
    kept = visitor.send(fields | {"do": "undo"}, JSON).json()
    assert (kept["plot"] != plot, kept["text"]) == (True, "A fox ran")
    page = visitor.send(fields | ASKED | {"text": "A fox ran on"}).text
    assert (plot_of(page), typed(page)) == (kept["plot"], "A fox ran on")
    assert "1 plot." in visitor.client.get("/shelf").text


def test_a_blank_page_begins_one_plot_however_often_it_is_sent(visitor: Visitor) -> None:
    """Reloading a response sends its form again. So does Back, and a script that leaves while it saves."""
    found = re.search(r'name="page" id="page" value="([\w-]{22})"', visitor.client.get("/").text)
    assert found
    page = {"page": found[1], "plot": ""}
    for _ in range(3):
        assert visitor.send(ASKED | page).status_code == 200
    assert "1 plot." in visitor.client.get("/shelf").text
    first, again, other = (
        visitor.send({"do": "keep", "text": "A fox"} | sent, JSON).json()["plot"]
        for sent in (page, page, {"page": "another page", "plot": ""})
    )
    assert first == again != other
    stranger = another(visitor)
    assert stranger.send({"do": "keep", "text": "A fox"} | page, JSON).json()["plot"] not in (first, other)


@pytest.mark.parametrize("fields", [{"seed": "x"}, {"text": "a\0b"}])
def test_a_page_with_a_mistake_is_still_of_its_plot(visitor: Visitor, fields: dict[str, str]) -> None:
    plot = visitor.keep("A fox")["plot"]
    page = visitor.send(ASKED | {"plot": plot} | fields)
    assert page.status_code == 422
    assert f'id="plot" value="{plot}"' in page.text


def test_typing_is_one_passage_until_continuations_are_asked_for(visitor: Visitor) -> None:
    plot = visitor.keep("A")["plot"]
    for text in ("A fox", "A fox ran"):
        visitor.keep(text, plot)
    visitor.send(ASKED | {"text": "A fox ran on", "plot": plot})
    visitor.keep("A fox ran on and on", plot)
    undone = [visitor.send({"do": "undo", "text": text, "plot": plot}, JSON).json()["text"] for text in
              ("A fox ran on and on", "A fox ran on")]  # fmt: skip
    assert undone == ["A fox ran on", ""]


def test_dates_are_written_alike_on_all_systems(visitor: Visitor) -> None:
    """C's `%-d` is an error on Windows."""
    assert not [page.name for page in TEMPLATES.glob("*.html") if re.search(r"%[-#][a-z]", page.read_text("utf-8"))]
    plot = visitor.keep("A fox")["plot"]
    found = re.search(r'<time datetime="(.*?)">(.*?)</time>', visitor.client.get("/shelf").text)
    assert found
    day = datetime.fromisoformat(found[1])
    assert found[2] == f"{day.day} {day.strftime('%B %Y')}"
    assert f"begun {found[2]}</p>" in visitor.client.get(f"/shelf/{plot}/about").text


def test_deeds_on_the_shelf_need_the_token(visitor: Visitor) -> None:
    plot = visitor.keep("A fox")["plot"]
    assert visitor.client.post(f"/shelf/{plot}", data={"do": "delete"}).status_code == 403
    assert typed(visitor.client.get(f"/shelf/{plot}").text) == "A fox"


def test_the_scripts_answers(visitor: Visitor) -> None:
    kept = visitor.keep("A fox")
    assert kept == {
        "plot": kept["plot"],
        "address": f"/shelf/{kept['plot']}",
        "title": "A fox",
        "text": "A fox",
        "undo": True,
        "redo": False,
        "authors": [[5, "writer"]],
        "replaced": None,
    }
    page = visitor.send(ASKED | {"plot": kept["plot"]}).text
    ways, numbers = offered(page), choices(page)
    taken = visitor.send({"choose": numbers[1], "text": "A fox", "plot": kept["plot"]}, JSON).json()
    assert taken["text"] == "A fox" + ways[1]
    undone = visitor.send({"do": "undo", "text": taken["text"], "plot": kept["plot"]}, JSON).json()
    assert (undone["text"], undone["redo"]) == ("A fox", True)
    again = visitor.client.get(kept["address"]).text
    assert (offered(again), choices(again)) == (ways, numbers)


def test_what_is_taken_joins_the_text_as_it_is_on_the_page(visitor: Visitor) -> None:
    """Even after the edited text was kept: the offer was for another text."""
    plot = visitor.keep("A fox")["plot"]
    page = visitor.send(ASKED | {"plot": plot}).text
    way, choice = offered(page)[0], {"choose": choices(page)[0], "plot": plot}
    visitor.keep("The hound", plot)
    taken = visitor.send(choice | {"text": "The hound"}, JSON).json()
    assert taken["text"] == "The hound" + way
    undone = visitor.send({"do": "undo", "text": taken["text"], "plot": plot}, JSON).json()
    assert undone["text"] == "The hound"


@pytest.mark.parametrize(
    ("fields", "status", "field"),
    [
        ({"seed": "x"}, 422, "seed"),
        ({"genre": "Western"}, 422, "genre"),
        ({"text": "x" * (bounds.TEXT + 1)}, 422, "text"),
        ({"text": "a\0b"}, 422, "text"),
    ],
)
def test_a_mistake_is_told_at_its_field(visitor: Visitor, fields: dict[str, str], status: int, field: str) -> None:
    answer = visitor.send(ASKED | fields, JSON)
    assert answer.status_code == status
    assert set(answer.json()["problems"]) == {field}
    page = visitor.send(ASKED | fields)
    assert page.status_code == status
    assert f'<p class="problem" id="{field}-problem">' in page.text
    assert typed(page.text).replace("\ufffd", "\0") == fields.get("text", "A fox")


@pytest.mark.usefixtures("slow_decoding")
def test_where_there_is_no_room_the_text_is_kept(client: TestClient[Litestar], visitor: Visitor) -> None:
    others = fill_up(client.app.state.engine)
    answer = visitor.send(ASKED)
    for other in others:
        other.cancel()
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "Your text is kept." in answer.text
    assert typed(client.get(f"/shelf/{plot_of(answer.text)}").text) == "A fox"


@pytest.mark.parametrize("letter", ["x", "ж", "山", "🎭", "\n"])
def test_a_text_has_as_many_characters_in_any_script(visitor: Visitor, letter: str) -> None:
    """A form writes a character of another script as up to twelve letters."""
    assert bounds.TEXT * len(urlencode({"": "🎭"})[1:]) + MAX_BODY // 4 <= MAX_FORM
    text = letter * (bounds.TEXT - 1) + "."
    assert visitor.keep(text)["text"] == text
    answer = visitor.send({"do": "keep", "text": f"{text}."}, JSON)
    assert answer.status_code == 422
    assert "100,001 characters" in answer.json()["problems"]["text"]


def test_no_form_stays_in_memory(visitor: Visitor) -> None:
    cached = parse_url_encoded_form_data.cache_info().currsize
    visitor.keep("A fox")
    assert parse_url_encoded_form_data.cache_info().currsize == cached


def test_a_form_of_too_many_fields_is_none_of_ours(visitor: Visitor) -> None:
    fields = {str(number): "x" for number in range(MOST)}
    assert visitor.send({"do": "keep", "text": "A fox"} | fields).status_code == 403


@pytest.mark.parametrize("choice", ["x", "-1", "999999", "9" * 400, "1.5", "²"])
def test_a_choice_that_is_none(visitor: Visitor, choice: str) -> None:
    plot = visitor.keep("A fox")["plot"]
    answer = visitor.send({"choose": choice, "text": "A fox", "plot": plot}, JSON)
    assert answer.status_code in (200, 404)
    assert typed(visitor.client.get(f"/shelf/{plot}").text) == "A fox"


def test_a_body_that_is_no_form(visitor: Visitor) -> None:
    for kind in (JSON, "multipart/form-data; boundary=x", "text/plain"):
        answer = visitor.client.post("/desk", content=b"{}", headers={"Content-Type": kind})
        assert answer.status_code == 403


@pytest.mark.parametrize(("name", "kind"), [("plot.txt", "text/plain"), ("plot.md", "text/markdown")])
def test_a_plot_is_a_file_of_its_type(visitor: Visitor, name: str, kind: str) -> None:
    plot = visitor.keep("A fox meets a hen.")["plot"]
    file = visitor.client.get(f"/shelf/{plot}/{name}")
    assert file.headers["content-type"] == f"{kind}; charset=utf-8"
    title = f"A%20fox%20meets%20a%20hen.{name.removeprefix('plot.')}"
    assert file.headers["content-disposition"] == f"attachment; filename=\"{name}\"; filename*=UTF-8''{title}"
    assert "A fox meets a hen." in file.text


@pytest.mark.parametrize("fields", [{}, {"do": "nothing"}, {"do": "undo"}])
def test_a_button_that_a_plots_page_does_not_have(visitor: Visitor, fields: dict[str, str]) -> None:
    plot = visitor.keep("A fox")["plot"]
    answer = visitor.client.post(f"/shelf/{plot}", data={"token": visitor.token} | fields, follow_redirects=False)
    assert answer.status_code == 400
    assert typed(visitor.client.get(f"/shelf/{plot}").text) == "A fox"


REPLACED = re.compile(r'<div class="found cut" id="elsewhere" role="status">')


def sent_from(page: str, **changed: str) -> dict[str, str]:
    """Return what the form of a page sends, with these changes."""
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)"[^>]* value="([^"]*)"', page))
    return {**hidden, "text": typed(page), "do": "keep", **changed}


@pytest.mark.parametrize("text", ["A fox ran", "A fox"], ids=["changed", "as it was"])
def test_a_page_that_replaces_another_text_says_so_and_links_to_it(visitor: Visitor, text: str) -> None:
    opened = visitor.client.get(visitor.keep("A fox")["address"]).text
    assert not REPLACED.search(visitor.send(sent_from(opened, text="A hound", do="continue", length="line")).text)
    for do in ("keep", "undo"):
        answer = visitor.send(sent_from(opened, text=text, do=do))
        page = visitor.client.get(answer.headers["location"]).text
        assert (typed(page), bool(REPLACED.search(page))) == (text, True)
        other = re.search(r'<a class="plain" href="([^"]*)#passage-\d+">Show the other</a>', page)
        assert other
        assert "A hound" in visitor.client.get(other[1]).text
        again = sent_from(visitor.client.get(plot_address(page)).text, text="A hound")
        assert "replaced" not in visitor.send(again).headers["location"]


def test_a_page_that_was_left_and_comes_back_says_what_it_replaces(visitor: Visitor) -> None:
    blank = visitor.client.get("/").text
    assert "replaced" not in visitor.send(sent_from(blank, text="A fox")).headers["location"]
    refused = visitor.send(sent_from(blank, text="A hound", do="continue", seed="x")).text
    assert (typed(refused), bool(REPLACED.search(refused))) == ("A hound", True)
    assert "replaced" not in visitor.send(sent_from(refused, text="A hound ran")).headers["location"]


def plot_address(page: str) -> str:
    """Return the address of a page's plot."""
    return f"/shelf/{plot_of(page)}"
