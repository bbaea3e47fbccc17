"""Suggestions at the caret, and taking them in the middle of a text."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from server.bundle import Bundle
from server.desk.desk import NOTES_SHARE
from server.desk.suggestions import MADE_WAY, Prefetches
from server.engine import Engine, EngineBusy, EngineConfig
from server.settings import SHIPPED_MODEL, Settings
from server.shelf import bounds
from server.writing.brief import LENGTHS, Brief
from server.writing.plot import Plot
from tests.server.at_desk import choices, plot_of
from tests.server.desk.test_routes import EVENTS, JSON, events_of
from tests.server.desk.visiting import Visitor, typed
from tests.server.live import fill_up, serving, wait_until_idle

ASKED = {"length": "line", "seed": "7", "text": "A fox"}


def suggested(writer: Visitor, **fields: str) -> tuple[dict[str, Any], list[str], dict[str, Any]]:
    """Return the beginning of suggestions, their texts, and their end."""
    (first, begun), *pieces, (last, end) = events_of(writer.post("suggest", EVENTS, **(ASKED | fields)))
    assert (first, last, {name for name, _ in pieces}) == ("begun", "settled", {"piece"})
    texts = [""] * len(end["seeds"])
    for _, piece in pieces:
        texts[piece["index"]] += piece["text"]
    return begun, texts, end


def taken(writer: Visitor, **fields: str) -> httpx.Response:
    """Send words of the model in `taken`, between `text` and `rest`. Return the state of the plot."""
    return writer.send({"do": "keep"} | fields, JSON)


def authors(state: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the parts of a plot's text with their authors."""
    units, start, parts = state["text"].encode("utf-16-le"), 0, []
    for length, by in state["authors"]:
        parts.append((units[2 * start : 2 * (start + length)].decode("utf-16-le"), by))
        start += length
    assert 2 * start == len(units)
    return parts


def test_three_suggestions_come_as_events_and_nothing_is_kept(writer: Visitor) -> None:
    begun, texts, end = suggested(writer)
    assert begun == {"seeds": [7, 8, 9, 10, 11, 12], "read": 5, "notes": 0}
    assert all(texts)
    assert set(end) == {"failure", "seeds", "finished"}
    assert end["failure"] is None
    assert len(set(end["seeds"]) & set(begun["seeds"])) == len(end["finished"]) == 3
    assert suggested(writer)[1] == texts
    assert "Nothing here yet" in writer.client.get("/shelf").text
    assert typed(writer.client.get("/").text) == ""


def test_a_seed_of_the_three_gives_the_same_suggestion_again(writer: Visitor) -> None:
    for fields in ({}, {"genre": "Drama"}, {"text": ""}):
        _, texts, end = suggested(writer, **fields)
        assert end["seeds"][0] == 7
        for seed, text in zip(end["seeds"], texts, strict=True):
            assert suggested(writer, **fields | {"seed": str(seed)})[1][0] == text


def test_a_whole_word_is_not_lengthened(writer: Visitor) -> None:
    """It is whole if a space is behind it, before or after the caret."""

    def begun(**fields: str) -> list[str]:
        return [suggested(writer, **fields, seed=str(seed))[1][0] for seed in range(7, 15)]

    whole = begun(rest=" jumps.")
    assert not any(text[0].isalnum() for text in whole)
    assert begun(text="A fox ") == [text.lstrip() for text in whole]


def test_the_shipped_model_lengthens_only_words_that_are_probably_not_whole() -> None:
    cases = {"She plays a part": False, "They meet at two.": False, "Anna finds the bod": True}
    with serving(Bundle.load(SHIPPED_MODEL)) as live, httpx.Client(base_url=live.address) as client:
        writer = Visitor(client)
        for text, lengthened in cases.items():
            for seed in range(0, 24, 6):
                _, texts, _ = suggested(writer, text=text, seed=str(seed), wildness="5")
                assert {each[0].isalnum() for each in texts} == {lengthened}, (text, texts)


def test_the_best_candidate_comes_first_if_nobody_waits_for_it(
    writer: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def later_is_better(engine: Engine, brief: Brief, plots: Sequence[Plot], *_: object) -> list[float]:
        return [float(plot.seed) for plot in plots]

    monkeypatch.setattr("server.desk.suggestions.scores", later_is_better)
    for ahead, first in (("", [7]), ("1", [])):
        _, texts, end = suggested(writer, ahead=ahead)
        ranked = list(zip(end["finished"], end["seeds"], strict=True))[len(first) :]
        assert end["seeds"][: len(first)] == first
        assert ranked == sorted(ranked, reverse=True)
        assert all(texts)


@pytest.mark.parametrize("ahead", ["", "1"])
@pytest.mark.parametrize(
    ("rest", "said", "shown"),
    [
        ("", " Mr. Fox ran.", " Mr. Fox ran."),
        (" and slept.", " Mr. Fox ran.", " Mr. Fox ran"),
        (", and slept.", " Mr. Fox ran!", " Mr. Fox ran"),
        (" — and slept.", " He ran?! ", " He ran"),
        (".", " He said “Run!”", " He said “Run”"),
        (" he said.", " “Run!”", " “Run!”"),
        (" and slept.", " He ran...", " He ran..."),
        (" Then he slept.", " Mr. Fox ran.", " Mr. Fox ran."),
        ("\nand slept.", " Mr. Fox ran.", " Mr. Fox ran."),
    ],
)
def test_within_a_sentence_a_suggestion_ends_without_a_full_stop(
    writer: Visitor, monkeypatch: pytest.MonkeyPatch, rest: str, said: str, shown: str, ahead: str
) -> None:
    async def dictated(plot: Plot) -> AsyncIterator[str]:
        for piece in re.findall(r"\s*\w+|\W", said):
            yield piece
        plot.finish_reason = "stop"

    monkeypatch.setattr(Plot, "__aiter__", dictated)
    begun, texts, end = suggested(writer, rest=rest, ahead=ahead)
    assert (texts, end["finished"]) == ([shown] * 3, [True] * 3)
    assert set(end["seeds"]) < set(begun["seeds"])


def test_suggestions_follow_the_text_before_the_caret_only(writer: Visitor) -> None:
    assert suggested(writer, rest=" and a hen.")[1] == suggested(writer, rest=" or not.")[1]
    assert suggested(writer, rest="Es and a hen.")[1] == suggested(writer)[1]
    assert suggested(writer, text="A fox and a hen.")[1] != suggested(writer)[1]


def test_after_a_space_no_other_is_suggested(writer: Visitor) -> None:
    assert not any(text[0].isspace() for text in suggested(writer, text="A fox\r\n")[1])


def test_notes_are_read_before_the_text_up_to_a_share_of_the_context(writer: Visitor, roomy: Engine) -> None:
    assert suggested(writer, notes="Anna, Lisbon")[0]["notes"] == 0
    plain = suggested(writer)[1]
    manifest = roomy.bundle.manifest
    prompt = replace(manifest.prompt, template="{genre}{notes}: {text}", notes=" [{notes}]")
    roomy.bundle = replace(roomy.bundle, manifest=replace(manifest, prompt=prompt))
    begun, texts, _ = suggested(writer, notes="Anna,\nTom")
    assert begun["notes"] == len("Anna, Tom")
    assert texts != plain == suggested(writer)[1]
    begun, _, end = suggested(writer, notes=", ".join(f"Anna {number}" for number in range(99)))
    assert end["failure"] is None
    notes = ", ".join(f"Anna {number}" for number in range(99))[: begun["notes"]]
    share = manifest.model.context // NOTES_SHARE
    assert 0 < len(roomy.tokenizer.encode(notes)) <= share < len(roomy.tokenizer.encode(f"{notes}, Anna 9"))


@pytest.mark.parametrize(
    ("fields", "status", "field"),
    [({"seed": "x"}, 422, "seed"), ({"genre": "Western"}, 422, "genre"), ({"token": ""}, 403, None)],
)
@pytest.mark.parametrize("ahead", ["", "1"])
def test_a_mistake_is_told_as_json(
    writer: Visitor, fields: dict[str, str], status: int, field: str, ahead: str
) -> None:
    answer = writer.post("suggest", EVENTS, **(ASKED | {"ahead": ahead} | fields))
    assert answer.status_code == status
    told = answer.json()
    assert set(told) == {"message", "problems"}
    assert set(told["problems"]) == ({field} if field else set())


def test_what_nobody_asked_for_does_not_count_against_the_rate(writer: Visitor) -> None:
    def status(ahead: str) -> int:
        return writer.post("suggest", EVENTS, **(ASKED | {"ahead": ahead})).status_code

    asked = [status("") for _ in range(41)]
    assert asked == [200] * 40 + [429]
    assert status("1") == 200


@pytest.mark.usefixtures("slow_decoding")
def test_what_nobody_asked_for_waits_for_everybody(writer: Visitor, roomy: Engine) -> None:
    others = fill_up(roomy)
    answer = writer.post("suggest", EVENTS, **(ASKED | {"ahead": "1"}))
    for other in others:
        other.cancel()
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    wait_until_idle(roomy)
    assert all(suggested(writer, ahead="1")[1])


@pytest.mark.parametrize(
    ("queued", "running", "refused", "gives_way"),
    [(0, 0, False, False), (1, 0, True, False), (0, 1, False, False), (0, 2, True, False), (1, 2, True, True)],
)
def test_what_nobody_asked_for_leaves_room_for_another_request(
    queued: int, running: int, refused: bool, gives_way: bool
) -> None:
    """A request of three continuations with a genre takes six rows. Here are eight."""
    engine: Any = SimpleNamespace(config=EngineConfig(rows=8), replicas=1, queued=queued, running=running)
    prefetches = Prefetches(engine)
    with pytest.raises(EngineBusy) if refused else nullcontext():
        prefetches.check(6)
    assert prefetches.give_way() == gives_way


def test_suggestions_that_make_way_say_so(writer: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Prefetches, "give_way", lambda self: True)
    answer = writer.post("suggest", EVENTS, **(ASKED | {"ahead": "1"}))
    assert f'"failure":"{MADE_WAY}"' in answer.text


@pytest.mark.usefixtures("slow_decoding")
def test_the_writing_stops_when_the_browser_closes_the_connection(bundle: Bundle, tmp_path: Path) -> None:
    with (
        serving(bundle, Settings(database=str(tmp_path / "shelf.sqlite")), rows=8) as live,
        httpx.Client(base_url=live.address, timeout=30) as client,
    ):
        form = ASKED | {"token": Visitor(client).token, "length": "paragraph"}
        with client.stream("POST", "/desk/suggest", data=form, headers={"Accept": EVENTS}) as answer:
            lines = answer.iter_lines()
            assert next(line for line in lines if line.startswith("event: piece"))
        wait_until_idle(live.engine)
        assert live.engine.generated < 3 * LENGTHS["line"].most


def test_words_taken_in_the_middle_are_the_models_and_all_others_stay_their_authors(writer: Visitor) -> None:
    state = taken(writer, text="A fox 🦊", taken=" ran", rest="").json()
    assert authors(state) == [("A fox 🦊", "writer"), (" ran", "model")]
    plot = {"plot": state["plot"]}
    state = writer.keep("A fox 🦊 ran home.", **plot)
    state = taken(writer, **plot, text="A fox 🦊 r", taken="🎭", rest="an home.").json()
    assert state["text"] == "A fox 🦊 r🎭an home."
    assert authors(state) == [("A fox 🦊", "writer"), (" r🎭an", "model"), (" home.", "writer")]
    state = writer.keep("A red fox 🦊 r🎭an home.", **plot)
    assert authors(state) == [("A red fox 🦊", "writer"), (" r🎭an", "model"), (" home.", "writer")]


def test_what_was_taken_last_is_taken_back_first_and_in_one_step(writer: Visitor) -> None:
    plot = writer.keep("One two three.")["plot"]

    def press(do: str, text: str) -> dict[str, Any]:
        state: dict[str, Any] = writer.send({"do": do, "text": text, "plot": plot}, JSON).json()
        return state

    first = taken(writer, plot=plot, text="One", taken=" or", rest=" two three.").json()
    second = taken(writer, plot=plot, text="One or two", taken=" or", rest=" three.").json()
    undone = press("undo", second["text"])
    assert (undone["text"], undone["authors"]) == ("One or two three.", first["authors"])
    assert press("undo", undone["text"])["text"] == "One two three."
    assert press("redo", "One two three.")["text"] == "One or two three."
    assert press("redo", "One or two three.")["authors"] == second["authors"]


def test_what_was_typed_before_words_were_taken_is_kept_with_them(writer: Visitor) -> None:
    plot = writer.keep("A fox ran.")["plot"]
    state = taken(writer, plot=plot, text="A red fox", taken=" slowly", rest=" ran.\r\n").json()
    assert state["text"] == "A red fox slowly ran.\n"
    assert authors(state) == [("A red fox", "writer"), (" slowly", "model"), (" ran.\n", "writer")]


def test_the_first_line_that_is_taken_begins_a_plot(writer: Visitor) -> None:
    suggested(writer, text="")
    assert "Nothing here yet" in writer.client.get("/shelf").text
    first = {"text": "", "taken": "It rained.", "page": "of this tab"}
    state = taken(writer, **first).json()
    assert authors(state) == [("It rained.", "model")]
    assert taken(writer, **first).json()["plot"] == state["plot"]
    assert "1 plot." in writer.client.get("/shelf").text


def test_words_for_a_plot_that_was_deleted_are_kept_in_a_new_one(writer: Visitor) -> None:
    plot = writer.keep("A fox")["plot"]
    writer.client.post(f"/shelf/{plot}", data={"token": writer.token, "do": "delete"})
    state = taken(writer, plot=plot, text="A fox", taken=" ran", rest=" home").json()
    assert state["plot"] != plot
    assert authors(state) == [("A fox", "writer"), (" ran", "model"), (" home", "writer")]


def test_a_text_that_would_be_too_long_is_refused_and_nothing_changes(writer: Visitor) -> None:
    plot = writer.keep("A fox")["plot"]
    half = "x" * (bounds.TEXT // 2)
    answer = taken(writer, plot=plot, text=half, taken=half, rest="x")
    assert answer.status_code == 422
    assert "100,001 characters" in answer.json()["problems"]["text"]
    assert typed(writer.client.get(f"/shelf/{plot}").text) == "A fox"


def test_the_page_of_a_plot_without_a_word_is_not_on_the_shelf(writer: Visitor) -> None:
    """Without JavaScript, continuations of a blank page have a plot before one is taken."""
    page = writer.send({"do": "continue", "text": "", "seed": "7", "length": "line"}).text
    assert "Nothing here yet" in writer.client.get("/shelf").text
    writer.send({"choose": choices(page)[0], "text": "", "plot": plot_of(page)})
    assert "1 plot." in writer.client.get("/shelf").text
