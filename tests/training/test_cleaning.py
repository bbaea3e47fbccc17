import pytest

from training.cleaning import Bounds, clean, is_explicit, mend, strip_tails
from training.duplicates import fingerprint, near_duplicates, repeats
from training.genres import GenreGrouper, load_table

BOUNDS = Bounds(shortest=20, longest=200)
PLAIN = "A quiet clerk inherits a circus that nobody else wants."


@pytest.mark.parametrize(
    ("dirty", "mended"),
    [
        ("It&#x2019;s late &amp; dark.", "It's late & dark."),
        ("She doesnâ€™t <i>even</i> try.", "She doesn't even try."),
        ("Plot  [edit]  [  [  edit  edit  ]  ]  \n  Roger is taken.[12]", "Roger is taken."),
        ("It ends.<br/>He dies.</p><p>The next", "It ends. He dies. The next"),
        ("  Two\n\n  lines\u00a0here.  ", "Two lines here."),
        ("cafe\u0301", "café"),
    ],
)
def test_mend(dirty: str, mended: str) -> None:
    assert mend(dirty) == mended


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (PLAIN, None),
        (None, "broken row"),
        (" \n ", "empty"),
        ("<br>", "empty"),
        (PLAIN + " {{Infobox film}}", "markup"),
        (PLAIN + " [[Paris]]", "markup"),
        (PLAIN + ' <a href="x">more</a>', "markup"),
        (PLAIN + " See https://example.org", "markup"),
        (PLAIN + " The caf\ufffd closes.", "damaged characters"),
        ("Too little.", "too short"),
        (PLAIN * 4, None),
    ],
)
def test_clean_gives_the_reason(text: str | None, reason: str | None) -> None:
    assert clean(text, BOUNDS)[1] == reason


def test_bounds_are_inclusive_and_checked() -> None:
    assert clean("x" * 20, BOUNDS)[1] is None
    assert clean("x" * 19, BOUNDS)[1] == "too short"
    with pytest.raises(ValueError, match="shortest"):
        Bounds(shortest=10, longest=5)


@pytest.mark.parametrize(
    "tail",
    [
        "(Source: ANN)", "[Written by MAL Rewrite]", "(less)", "Reprint. 20,000 first printing.", "—M. C. Gomez",
        "--originally written by KrystelClaire", "Based on a true story.", "Inspired by true events.",
        "Suggested level: junior, primary.", 'Sequel to "Last Summer with Maizon."', "(copied from Wikipedia)",
        "Source: Wikipedia", "Grades 3-5.", "FOR MATURE READERS", "The End", "Original. Tour.", "© Wikipedia",
    ],
)  # fmt: skip
def test_tails_are_stripped(tail: str) -> None:
    assert strip_tails(f"{PLAIN} {tail}") == PLAIN


@pytest.mark.parametrize(
    "text",
    [
        "Nothing tears the U.S.-Australia alliance apart.",
        "He meets the one man he trusts—Tom Ripley",  # no whole sentence would be left
        "The manuscript that she finds is based on a true story.",
        "She waits for him until the end.",
    ],
)
def test_words_of_the_text_itself_are_no_tail(text: str) -> None:
    assert strip_tails(text) == text


def test_a_publishers_quotation_marks_go_with_the_dashes() -> None:
    assert strip_tails(f'"{PLAIN}"--') == PLAIN


def test_explicit_words_count_as_whole_words_in_any_case() -> None:
    assert is_explicit("A film about PORNOGRAPHY.")
    assert is_explicit("They call him a retard.")
    assert not is_explicit("The parrot squawks; fire retardant is stored in Scunthorpe.")


def test_near_duplicates_keeps_the_first_and_the_different() -> None:
    changed = PLAIN.replace("quiet", "silent")
    other = "Three sisters open a bakery across the street from the man who ruined their mother."
    assert near_duplicates([("a", PLAIN * 3), ("b", changed + PLAIN * 2), ("c", other)]) == {"b"}


def test_repeats_keeps_the_longest_of_a_collection() -> None:
    season = "Four friends run a bar in Boston and quarrel about rent, love and baseball."
    other = "A dentist moves in next door, and nobody sleeps until the drill falls silent."
    texts = [("one", season), ("two", f"{season} In this season a bear joins them."), ("three", other)]
    assert repeats([texts]) == {"one"}
    assert repeats([[text] for text in texts]) == set()


def test_fingerprint_sees_words_only() -> None:
    assert fingerprint("It’s  LATE.") == fingerprint("it's late!")
    assert fingerprint("It is late") != fingerprint("It was late")


def test_the_table_has_at_most_twelve_genres_and_no_stray_capitals() -> None:
    genres_of, genres = load_table()
    assert 1 <= len(genres) <= 12
    assert all(tag == tag.lower().strip() for tag in genres_of)


def test_grouping_counts_what_it_knows() -> None:
    grouper = GenreGrouper()
    assert grouper.group(("Gothic", "cult", "Sci-Fi & Fantasy", "horror movies", "made of cheese")) == [
        "Horror", "Fantasy", "Science Fiction",
    ]  # fmt: skip
    assert (grouper.known, grouper.unspecific, dict(grouper.unknown)) == (3, 1, {"made of cheese": 1})
