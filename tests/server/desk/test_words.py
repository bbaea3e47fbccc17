"""Other words for a word, and other ways to say a selection."""

import asyncio
import math
from dataclasses import replace
from typing import Any

import httpx
import pytest

from server.bundle import Bundle
from server.desk.rewriting import LONGEST, Selection
from server.desk.words import SHOWN, WORD, _listed, likeliest_words
from server.engine import Engine, Request, Sampling
from server.settings import SHIPPED_MODEL
from tests.server.desk.visiting import Visitor
from tests.server.live import serving, wait_until_idle

TEXT = "A lighthouse keeper finds"


def words(writer: Visitor, **fields: str) -> list[dict[str, Any]]:
    answer = writer.post("words", **({"text": TEXT} | fields))
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["others"]
    return found


def test_the_likeliest_words_come_first_and_the_one_that_stands_there_is_among_them(writer: Visitor) -> None:
    found = words(writer, selected="zebra")
    *likeliest, last = found
    assert last["word"] == "zebra"
    assert 1 <= len(likeliest) <= SHOWN
    probabilities = [each["probability"] for each in found]
    assert probabilities == sorted(probabilities, reverse=True)
    assert all(0 < each <= 1 for each in probabilities)
    assert len({each["word"] for each in found}) == len(found)
    assert words(writer, selected=likeliest[0]["word"], text=f"{TEXT} " if likeliest[0]["space"] else TEXT)


def test_a_space_is_due_only_where_none_stands(writer: Visitor) -> None:
    bare, due = words(writer, text=f"{TEXT} "), words(writer)
    assert not any(each["space"] for each in bare)
    assert {each["word"]: each["probability"] for each in due if each["space"]}.items() <= {
        each["word"]: each["probability"] for each in bare
    }.items()


def test_words_to_avoid_are_not_among_them(writer: Visitor) -> None:
    first = words(writer)[0]["word"]
    assert first.casefold() not in [each["word"].casefold() for each in words(writer, avoid=first)]


def test_a_part_of_a_character_is_no_word() -> None:
    assert [each.word for each in _listed([("\ufffd", 0.5), (" caf\ufffd", 0.2), (" 灯", 0.1)], True, "", ())] == ["灯"]


def test_a_quotation_mark_alone_is_no_word_unless_it_stands_there() -> None:
    found = [(' "', 0.5), (" (", 0.3), (" fox", 0.1)]
    assert [each.word for each in _listed(found, True, "", ())] == ["(", "fox"]
    assert [each.word for each in _listed(found, True, '"', ())] == ['"', "(", "fox"]


def test_the_probability_of_a_word_is_that_of_its_tokens(roomy: Engine) -> None:
    """Of the model itself: not of the temperature, nor of the penalties."""
    request = Request(f"Plot: {TEXT}", Sampling(temperature=2, repetition_penalty=1.5))
    found = asyncio.run(likeliest_words(roomy, request, False, " zebra"))
    tokens = roomy.tokenizer.encode(f"Plot: {TEXT}")
    for each in found:
        spelled = roomy.tokenizer.encode(f" {each.word}" if each.space else each.word)
        [scored] = roomy.submit(Request([*tokens, *spelled], Sampling(max_tokens=0), prompt_logprobs=0))
        logprobs = [one.logprob for one in scored.prompt_logprobs[-len(spelled) :] if one]
        if roomy.tokenizer.encode(f"Plot: {TEXT} {each.word}") == [*tokens, *spelled]:
            assert each.probability == pytest.approx(math.exp(sum(logprobs)), rel=1e-3)
    wait_until_idle(roomy)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (" ran home", " ran"),
        (" don't ", " don't"),
        (", and", ","),
        ("…” she", "…”"),
        (" é", " é"),
        (" ", " "),
        ("er.", "er"),
    ],
)
def test_a_word_ends_at_the_next_boundary(text: str, word: str) -> None:
    found = WORD.match(text)
    assert found
    assert found[0] == word


@pytest.mark.parametrize("path", ["words", "rewrite"])
def test_mistakes_are_told_as_json(writer: Visitor, path: str) -> None:
    for fields, status in (({"seed": "x"}, 422), ({"token": ""}, 403), ({"genre": "Western"}, 422)):
        answer = writer.post(path, **({"text": TEXT, "selected": "a letter"} | fields))
        assert answer.status_code == status
        assert set(answer.json()) == {"message", "problems"}


def rewritten(writer: Visitor, **fields: str) -> list[str]:
    selected = {"text": f"{TEXT} ", "selected": "a letter under the old harbour", "rest": " and nobody believes it."}
    answer = writer.post("rewrite", **(selected | {"seed": "7"} | fields))
    assert answer.status_code == 200, answer.text
    return [each["word"] for each in answer.json()["others"]]


def test_three_other_ways_differ_from_the_selection_and_from_each_other(writer: Visitor) -> None:
    found = rewritten(writer)
    assert len(found) == 3
    assert len({way.casefold() for way in [*found, "a letter under the old harbour"]}) == 4
    assert all(1 <= len(way.split()) <= 6 for way in found)
    assert all(way == way.strip() for way in found)
    assert rewritten(writer) == found
    assert sorted(rewritten(writer, seed="99")) != sorted(found)
    assert "Nothing here yet" in writer.client.get("/shelf").text


def test_ways_are_ranked_by_the_text_behind_them(writer: Visitor, roomy: Engine) -> None:
    def score(way: str) -> float:
        before = roomy.tokenizer.encode(f"Plot: {TEXT} {way}")
        behind = roomy.tokenizer.encode(" and nobody believes it.")
        [scored] = roomy.submit(Request([*before, *behind], Sampling(max_tokens=0), prompt_logprobs=0))
        return sum(each.logprob for each in scored.prompt_logprobs[-len(behind) :] if each)

    found = rewritten(writer)
    whole = [way for way in found if not {".", "!", "?", "…"} & set(way)]
    scores = [score(way) for way in whole]
    assert scores == sorted(scores, reverse=True)


def test_most_ways_are_about_the_same_people() -> None:
    sentence = "Anna finds a letter under the old harbour of Lisbon. "
    with serving(Bundle.load(SHIPPED_MODEL)) as live, httpx.Client(base_url=live.address) as client:
        writer = Visitor(client)
        ways = [
            way
            for seed in range(0, 40, 8)
            for before in ("", "The war is over. ")
            for way in rewritten(writer, text=before, selected=sentence, rest="", seed=str(seed))
        ]
    assert sum("Anna" in way or "Lisbon" in way for way in ways) > 0.5 * len(ways)


@pytest.mark.parametrize(("selected", "status"), [("", 422), ("  ", 422), ("x " * (LONGEST + 1), 422)])
def test_a_selection_has_a_word_at_least_and_not_too_many(writer: Visitor, selected: str, status: int) -> None:
    answer = writer.post("rewrite", text=TEXT, selected=selected)
    assert answer.status_code == status
    assert answer.json() == {
        "message": f"Select from 1 to {LONGEST} words; you have selected {len(selected.split())}.",
        "problems": {},
    }


@pytest.mark.parametrize(
    ("before", "selected", "written", "way"),
    [
        ("She ", "ran home", " walks away slowly.", "walks away"),
        ("She", " ran home", " walks away slowly.", " walks away"),
        ("She ", "ran home ", " walks, away", "walks, away "),
        ("She ", "ran home", " walks away", "walks away"),
        ("She ", "ran home, ", " walks away, then", "walks away, "),
        ("She ", "ran home.", " walks. She sleeps in it. And", "walks."),
        ("She ", "ran home and slept.", " walks. She sleeps. And then", "walks. She sleeps."),
        ("She ", "said “no.” ", " was “not here.” And", "was “not here.” "),
        ("She ", "ran home", "’s here now", "here now"),
        ("She ", "ran home", "’s", ""),
        ("She", "ran", "’s", "’s"),
        ("She ", "ran home.", " walks on and on", ""),
        ("She ", "ran", "", ""),
        ("", "One two", " A\nB C", "A B"),
    ],
)
def test_a_way_is_about_as_long_and_ends_alike(before: str, selected: str, written: str, way: str) -> None:
    assert Selection(before, selected, "").cut(written) == way


@pytest.mark.parametrize(
    ("selected", "behind", "way"),
    [
        ("the ferry is late", ". He waits.", "the boat has left the harbour"),
        ("the ferry is late", "! He waits.", "the boat has left the harbour"),
        ("the ferry is late ", ". He waits.", "the boat has left "),
        ("the ferry is late", " and he waits.", "the boat has left"),
    ],
)
def test_before_a_full_stop_a_way_is_whole_sentences_without_the_last_one(selected: str, behind: str, way: str) -> None:
    assert Selection("He thinks ", selected, behind).cut(" the boat has left the harbour. So he swims") == way


def test_openings_are_the_first_tokens_and_the_rest_is_as_after_them(roomy: Engine) -> None:
    tokens = roomy.tokenizer.encode("A fox")
    sampling = Sampling(max_tokens=4, temperature=0, ignore_end=True)
    request = Request(tokens, sampling, openings=((5, 6), (7,)))
    streams = roomy.submit_several(request, 2)
    written = [[token for chunk in stream for token in chunk.token_ids] for stream in streams]
    for opening, found in zip(request.openings, written, strict=True):
        after = replace(request, prompt=[*tokens, *opening], sampling=replace(sampling, max_tokens=4 - len(opening)))
        [stream] = roomy.submit_several(replace(after, openings=()), 1)
        assert found == [*opening, *(token for chunk in stream for token in chunk.token_ids)]


@pytest.mark.parametrize("openings", [((1,),), ((1,), (2,), (3,)), ((1,), (-1,)), ((1,), (10**6,))])
def test_openings_that_cannot_be(roomy: Engine, openings: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="opening"):
        roomy.submit_several(Request("A fox", openings=openings), 2)
