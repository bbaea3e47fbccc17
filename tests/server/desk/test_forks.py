"""Other words, and other ways to say a sentence, in a browser without JavaScript."""

import re
from html import unescape

import pytest

from server.desk.fork_routes import PART
from tests.server.at_desk import offered
from tests.server.desk.visiting import Visitor, typed

TEXT = "A lighthouse keeper finds a letter. An orphaned chess player follows a stranger."


def buttons(page: str) -> list[str]:
    """Return the words on the buttons that take them."""
    return [unescape(value) for value in re.findall(r'<button name="taken" value="(.*?)">', page)]


def hidden(page: str) -> dict[str, str]:
    """Return the hidden fields of a page."""
    inputs = dict(re.findall(r'<input type="hidden" name="(\w+)" value="(.*?)">', page))
    areas = dict(re.findall(r'<textarea name="(\w+)" hidden>\n(.*?)</textarea>', page, re.DOTALL))
    return {name: unescape(value) for name, value in (inputs | areas).items()}


@pytest.mark.parametrize("do", ["words", "rewrite", "about"])
def test_the_text_is_kept_on_the_way_to_others(writer: Visitor, do: str) -> None:
    plot = writer.keep(TEXT[:20])["plot"]
    answer = writer.send({"do": do, "plot": plot, "text": TEXT})
    assert answer.headers["location"] == f"/shelf/{plot}/{do}"
    assert "stranger" in writer.client.get(answer.headers["location"]).text
    assert typed(writer.client.get(f"/shelf/{plot}").text) == TEXT


def test_each_word_leads_to_others_and_one_of_them_to_a_new_branch(writer: Visitor) -> None:
    plot = writer.keep(TEXT[:20])["plot"]
    taken = {"plot": plot, "text": TEXT[:20], "taken": TEXT[20:]}
    state = writer.send({"do": "keep"} | taken, "application/json").json()
    address = f"/shelf/{state['plot']}/words"
    links = re.findall(rf'<a href="({address}\?at=\d+)#words">(\w+)</a>', writer.client.get(address).text)
    assert [word for _, word in links] == re.findall(r"\w+", TEXT)
    page = writer.client.get(links[5][0]).text
    words = buttons(page)
    assert "letter" in words
    assert len(words) == len(set(words)) >= 2
    assert page.count("<meter") == len(words)
    fields = hidden(page)
    assert fields["text"] == "A lighthouse keeper finds a "
    other = next(word for word in words if word != "letter")
    on = writer.send(fields | {"taken": other, "length": "line", "seed": "7"})
    assert typed(on.text) == fields["text"] + other
    assert len(offered(on.text)) == 3
    back = writer.send({"do": "undo", "plot": state["plot"], "text": fields["text"] + other})
    assert typed(writer.client.get(back.headers["location"]).text) == TEXT


def test_another_word_leaves_the_writers_own_words_behind_it(writer: Visitor) -> None:
    state = writer.keep(TEXT)
    page = writer.client.get(f"/shelf/{state['plot']}/words?at=5").text
    fields = hidden(page)
    assert fields["rest"] == TEXT[34:]
    other = next(word for word in buttons(page) if word != "letter")
    taken = writer.send(fields | {"taken": other})
    assert taken.status_code == 303
    assert typed(writer.client.get(taken.headers["location"]).text) == fields["text"] + other + fields["rest"]


def test_each_sentence_leads_to_other_ways_to_say_it(writer: Visitor) -> None:
    plot = writer.keep(f"{TEXT}\n\nThe end")["plot"]
    address = f"/shelf/{plot}/rewrite"
    links = re.findall(
        rf'<a href="({re.escape(address)}\?from=\d+&amp;to=\d+)#ways">(.*?)</a>', writer.client.get(address).text
    )
    assert [sentence for _, sentence in links] == [*re.findall(r".+?\.", TEXT)[:1], TEXT[36:], "The end"]
    page = writer.client.get(f"{address}?from=2&to=4").text
    ways = buttons(page)
    assert 1 <= len(ways) <= 3
    fields = hidden(page)
    assert (fields["text"], fields["rest"]) == ("A lighthouse ", f" a letter.{TEXT[35:]}\n\nThe end")
    taken = writer.send(fields | {"taken": ways[0]})
    assert taken.status_code == 303
    text = typed(writer.client.get(taken.headers["location"]).text)
    assert text == fields["text"] + ways[0] + fields["rest"]
    back = writer.send({"do": "undo", "plot": plot, "text": text})
    assert typed(writer.client.get(back.headers["location"]).text) == f"{TEXT}\n\nThe end"


def test_a_long_text_comes_in_parts(writer: Visitor) -> None:
    plot = writer.keep("One two three four. " * PART)["plot"]
    for page, link in (("words", "at="), ("rewrite", "from=")):
        last = writer.client.get(f"/shelf/{plot}/{page}").text
        assert ('rel="prev" href="?part=2"' in last, 'rel="next"' in last) == (True, False)
        first = writer.client.get(f"/shelf/{plot}/{page}?part=0").text
        assert ('rel="prev"' in first, 'rel="next" href="?part=1"' in first) == (False, True)
        assert f"?{link}0" in first
        assert f"?{link}0" not in last
        assert 0 < first.count(f"?{link}") <= PART


@pytest.mark.parametrize(
    "query",
    [
        "words?at=99",
        "words?at=x",
        "words?at=-1",
        "words?part=x",
        "rewrite?from=3&to=2",
        "rewrite?from=0&to=99",
        "rewrite?to=x",
    ],
)
def test_an_address_of_no_word_shows_the_text_to_choose_from(writer: Visitor, query: str) -> None:
    plot = writer.keep(TEXT)["plot"]
    answer = writer.client.get(f"/shelf/{plot}/{query}")
    assert answer.status_code == 200
    assert buttons(answer.text) == []
    assert "Choose a" in answer.text


def test_a_plot_without_words_and_anothers_plot(writer: Visitor) -> None:
    plot = writer.keep("… —")["plot"]
    for page in ("words", "rewrite"):
        assert writer.client.get(f"/shelf/{plot}/{page}").status_code == 200
    writer.client.cookies.clear()
    for page in ("words?at=0", "rewrite?from=0&to=1"):
        assert writer.client.get(f"/shelf/{plot}/{page}").status_code == 404


def test_these_pages_count_as_requests_for_text(writer: Visitor) -> None:
    plot = writer.keep(TEXT)["plot"]
    statuses = [writer.client.get(f"/shelf/{plot}/words?at=1").status_code for _ in range(41)]
    assert statuses == [200] * 40 + [429]
    assert writer.client.get(f"/shelf/{plot}/words").status_code == 200


def test_the_steering_of_a_plot_is_kept_with_it_and_remembered_for_the_next(writer: Visitor) -> None:
    steering = {"genre": "Drama", "length": "line", "wildness": "5", "avoid": "letter, fox", "notes": "Anna"}

    def shown(page: str) -> dict[str, str]:
        pressed = dict(re.findall(r'<input type="radio" name="(\w+)" value="(\w+)" checked>', page))
        genre = re.search(r"<option[^>]* selected>(.*?)</option>", page)
        avoid = re.search(r'name="avoid"[^>]* value="(.*?)"', page)
        return pressed | {"genre": genre[1] if genre else "", "avoid": avoid[1] if avoid else ""}

    wanted = {name: value for name, value in steering.items() if name != "notes"}
    kept = writer.send({"do": "keep", "text": "A fox"} | steering, "application/json").json()
    assert shown(writer.client.get(kept["address"]).text) == wanted
    remembered = wanted | {"avoid": ""}
    blank = writer.client.get("/").text
    assert shown(blank) == remembered
    assert "as in your last plot" in blank
    linked = remembered | {"genre": "Horror", "length": "lines"}
    for genre in ("Horror", "horror"):
        assert shown(writer.client.get(f"/?genre={genre}&length=lines").text) == linked
    writer.keep("A hound")
    assert shown(writer.client.get("/").text) == {"genre": "", "length": "lines", "wildness": "3", "avoid": ""}
    assert shown(writer.client.get(kept["address"]).text) == wanted
    writer.client.cookies.clear()
    assert shown(writer.client.get("/").text)["avoid"] == ""
