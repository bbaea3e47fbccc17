"""Briefs: from the fields of the form to the engine's request, and to the plot."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from server.bundle import Bundle, LengthClass
from server.engine import Chunk, Engine
from server.writing.brief import DEFAULTS, LENGTHS, WILDNESSES, Brief, BriefError
from server.writing.notes import noted
from server.writing.plot import Plot, begin


def read(bundle: Bundle, **typed: str) -> Brief:
    return Brief.read({"prompt": "A fox"} | typed, bundle.manifest)


def test_the_defaults_are_a_form_that_can_be_sent(bundle: Bundle) -> None:
    brief = read(bundle)
    assert (brief.prompt, brief.genre, brief.seed) == ("A fox", None, None)
    assert brief == read(bundle, **{name: value for name, value in DEFAULTS.items() if name != "prompt"})


def test_the_request_carries_genre_prompt_and_seed(bundle: Bundle) -> None:
    genre = bundle.manifest.prompt.genres[-1]
    request = read(bundle, prompt="  A fox\r\nand a hen \n", genre=genre, seed=" 7 ").request(bundle.manifest, 256)
    assert request.prompt == bundle.manifest.prompt.template.format(genre=genre, text="A fox\nand a hen")
    assert request.sampling.seed == 7


def test_accents_in_two_parts_are_read_as_one(bundle: Bundle) -> None:
    """Some keyboards and file names write a letter and its mark apart."""
    brief = read(bundle, prompt="Un e\u0301te\u0301", avoid="cafe\u0301, cafés")
    assert (brief.prompt, brief.avoid) == ("Un été", ("café", "cafés"))


def test_the_middle_of_the_dial_is_the_models_own_sampling(bundle: Bundle) -> None:
    sampling, defaults = read(bundle, wildness="3").request(bundle.manifest, 256).sampling, bundle.manifest.sampling
    assert (sampling.temperature, sampling.top_p) == (defaults.temperature, defaults.top_p)
    assert (sampling.top_k, sampling.repetition_penalty) == (defaults.top_k, defaults.repetition_penalty)


@pytest.mark.parametrize("top_p", [0.05, 0.9, 1.0])
def test_each_step_of_the_dial_is_wilder_than_the_one_before(bundle: Bundle, top_p: float) -> None:
    manifest = replace(bundle.manifest, sampling=replace(bundle.manifest.sampling, top_p=top_p))
    steps = [read(bundle, wildness=str(step)).request(manifest, 256).sampling for step in WILDNESSES]
    temperatures = [step.temperature for step in steps]
    assert temperatures == sorted(set(temperatures))
    assert [step.top_p for step in steps] == sorted(step.top_p for step in steps)


def test_lengths_grow_and_are_cut_to_what_the_server_allows(bundle: Bundle) -> None:
    requests = [read(bundle, length=length).request(bundle.manifest, 100) for length in LENGTHS]
    assert [request.sampling.max_tokens for request in requests] == [48, 100, 100]


def test_a_model_that_was_taught_lengths_reads_the_one_that_the_whole_text_will_have(bundle: Bundle) -> None:
    bounds = (("line", 1, 29), ("lines", 30, 99), ("page", 100, None))
    classes = tuple(LengthClass(name, name, least, most) for name, least, most in bounds)
    prompt = replace(
        bundle.manifest.prompt,
        template="{genre}{length}: {text}",
        length=", {length}",
        continues=" …",
        lengths=classes,
    )
    manifest = replace(bundle.manifest, prompt=prompt)

    def filled(count: int, length: str, **changes: Any) -> Any:
        brief = replace(read(bundle, prompt=" ".join(["word"] * count), length=length), **changes)
        return brief.request(manifest, 100)

    assert filled(3, "line").prompt == "Plot, line: word word word"
    assert filled(3, "lines").prompt.startswith("Plot, lines: word")
    assert filled(20, "line").prompt.startswith("Plot, lines: word")
    # the model reads only the end of a long text, and its prompt says so
    assert filled(20, "line", words=400).prompt.startswith("Plot, page: … word")
    guided = filled(3, "line", genre=bundle.manifest.prompt.genres[0])
    assert guided.prompt == f"{bundle.manifest.prompt.genres[0]}, line: word word word"
    assert guided.against == "Plot, line: word word word"


def noting(bundle: Bundle) -> Any:
    """Return the manifest of a model with a place for notes."""
    prompt = replace(bundle.manifest.prompt, template="{genre}{notes}: {text}", notes=" [{notes}]")
    return replace(bundle.manifest, prompt=prompt)


def test_notes_stand_before_the_text_if_the_model_has_a_place_for_them(bundle: Bundle) -> None:
    typed = {"prompt": "A fox", "genre": "Drama", "notes": "Anna, Lisbon"}
    request = Brief.read(typed, noting(bundle)).request(noting(bundle), 100)
    assert (request.prompt, request.against) == ("Drama [Anna, Lisbon]: A fox", "Plot [Anna, Lisbon]: A fox")
    assert request.unpenalised == "Drama [Anna, Lisbon]:"
    without = Brief.read(typed, bundle.manifest)
    assert without.request(bundle.manifest, 100).unpenalised == ""
    assert (without.notes, without.request(bundle.manifest, 100).prompt) == ((), "Drama: A fox")
    assert (noting(bundle).prompt.has_notes, bundle.manifest.prompt.has_notes) == (True, False)


@pytest.mark.parametrize(
    ("notes", "items"),
    [
        ("", ()),
        (" , ;\n[]", ()),
        ("Anna,  Lisbon\r\nthe old harbour; Anna", ("Anna", "Lisbon", "the old harbour")),
        ("Anna is a nurse from Nova Goa and loves Tom.", ("Anna", "Nova Goa", "Tom")),
        ("The letter was never sent to Zoë O’Hara", ("Zoë O’Hara",)),
        ("Then Tom’s brother and Zoë went to Goa", ("Tom", "Zoë", "Goa")),
        ("the letter must not be found", ("the letter must not be found",)),
    ],
)
def test_notes_are_short_items_and_the_names_in_sentences(notes: str, items: tuple[str, ...]) -> None:
    assert noted(notes) == items


def test_on_a_blank_page_each_seed_draws_a_genre_and_all_alike(bundle: Bundle) -> None:
    manifest = bundle.manifest
    blank = Brief.read({"genre": "any"}, manifest, blank=True)
    drawn = [blank.drawn(seed, manifest).genre for seed in range(60)]
    assert {drawn.count(genre) for genre in manifest.prompt.genres} == {60 // len(manifest.prompt.genres)}
    chosen = replace(blank, genre=manifest.prompt.genres[0])
    assert {chosen.drawn(seed, manifest).genre for seed in range(9)} == {manifest.prompt.genres[0]}
    assert {read(bundle).drawn(seed, manifest).genre for seed in range(9)} == {None}


def test_first_lines_of_any_genre_are_those_of_their_own(engine: Engine) -> None:
    """With the same seed."""

    def written(count: int, **typed: str) -> list[str]:
        brief = Brief.read({"length": "line"} | typed, engine.bundle.manifest, blank=True)

        async def read_all() -> list[str]:
            plots = begin(engine, brief, 12, count=count)
            return ["".join([text async for text in plot]) for plot in plots]

        return asyncio.run(read_all())

    genres = engine.bundle.manifest.prompt.genres
    expected = [written(1, genre=genres[seed % len(genres)], seed=str(seed))[0] for seed in (7, 8)]
    assert written(2, seed="7") == expected
    assert written(1, seed="8") == expected[1:]


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("prompt", "", "Write a few words"),
        ("prompt", " \r\n\t", "Write a few words"),
        ("genre", "Western", "Choose “any” or one of: "),
        ("genre", "", "Choose “any” or one of: "),
        ("length", "novel", "Choose one of: line, lines, paragraph."),
        *[
            ("wildness", value, "a number from 1 to 5")
            for value in ("", "0", "6", "-1", "2.5", "three", "٣", "9" * 5000)
        ],
        *[("seed", value, "up to nine digits") for value in ("-2", "1.5", "x", "1000000000", "9" * 5000, "1_0")],
    ],
)
def test_a_wrong_value_is_explained_at_its_field(bundle: Bundle, field: str, value: str, says: str) -> None:
    with pytest.raises(BriefError) as refused:
        read(bundle, **{field: value})
    assert list(refused.value.problems) == [field]
    assert says in refused.value.problems[field]


def test_programs_may_ask_for_any_seed_and_write_genres_as_they_like(bundle: Bundle) -> None:
    genre = bundle.manifest.prompt.genres[0]
    assert genre != genre.upper()
    for typed in (genre, genre.upper(), genre.lower()):
        assert read(bundle, genre=typed, seed=" -1 ") == read(bundle, genre=genre)
    assert read(bundle, genre="ANY") == read(bundle)


def test_everything_that_is_wrong_is_said_at_once(bundle: Bundle) -> None:
    with pytest.raises(BriefError) as refused:
        read(bundle, prompt="", genre="?", length="?", wildness="?", avoid="?" * 65, seed="?", notes="?" * 2001)
    assert set(refused.value.problems) == set(DEFAULTS)


def test_a_prompt_too_long_is_a_problem_of_the_prompt(engine: Engine) -> None:
    brief = read(engine.bundle, prompt="A fox and a hen. " * 200)
    with pytest.raises(
        BriefError, match=r"^Too long for the model: 3,399 characters\. It can read about \d+\. Shorten"
    ):
        begin(engine, brief, 256)


class WrittenStream:
    """A stream with given chunks."""

    seed = 1
    prompt_tokens = 3

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts
        self.endings: list[str] = []

    def cancel(self, ending: str = "cancelled") -> None:
        self.endings.append(ending)

    async def __aiter__(self) -> Any:
        for index, text in enumerate(self.texts):
            yield Chunk(text, (index,), "length" if index == len(self.texts) - 1 else None)


@pytest.mark.parametrize(
    ("texts", "written", "reason"),
    [
        (["One", " two", " three", ".", " Four", "."], "One two three.", "stop"),
        (["One", " two", " three", ".”", " Four", "."], "One two three.”", "stop"),
        (["One", " two", " three", "?", "”", "\n", "Four"], "One two three?”", "stop"),
        (["One", ".", " Two", " three"], "One. Two three", "length"),
        (["One", " two", " Mr", ".", " Four", " five"], "One two Mr. Four five", "length"),
        (["One", " two", " 3", ".", "5", " five"], "One two 3.5 five", "length"),
    ],
)
def test_a_plot_that_is_long_enough_ends_with_its_sentence(
    bundle: Bundle, texts: list[str], written: str, reason: str
) -> None:
    stream = WrittenStream(texts)
    given: Any = stream
    plot = Plot(given, replace(read(bundle), length=replace(LENGTHS["line"], enough=3)))

    async def write() -> str:
        return "".join([text async for text in plot])

    assert asyncio.run(write()) == written
    assert plot.finish_reason == reason
    assert stream.endings[0] == ("stop" if reason == "stop" else "cancelled")  # to cancel an ended plot changes nothing
