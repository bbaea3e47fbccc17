import tracemalloc
from pathlib import Path

import pytest

from tests.training.corpora import write_cmu, write_mpst, write_prose
from training.readers import CorpusError, read_cmu, read_mpst, read_prose


def test_mpst_rows_with_commas_quotes_and_lines(tmp_path: Path) -> None:
    text = 'She said "no",\nthen left.\n\nNobody asked.'
    rows = list(read_mpst(write_mpst(tmp_path / "m.csv", [("A, B", text, "cult, horror,, gothic ")])))
    assert [(r.row, r.title, r.text, r.tags) for r in rows] == [(2, "A, B", text, ("cult", "horror", "gothic"))]


def test_mpst_columns_may_stand_in_another_order(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("tags,plot_synopsis,title\nhorror,It came back.,The Cellar\n")
    assert [(r.title, r.text, r.tags) for r in read_mpst(path)] == [("The Cellar", "It came back.", ("horror",))]


def test_cmu_rows_with_and_without_genres(tmp_path: Path) -> None:
    path = write_cmu(tmp_path / "b.txt", [("One", "First.", ["Satire", "Novel"]), ("Two", "Second.", [])])
    assert [(r.row, r.title, r.text, r.tags) for r in read_cmu(path)] == [
        (1, "One", " First.", ("Satire", "Novel")),
        (2, "Two", " Second.", ()),
    ]


def test_dirt_is_tolerated(tmp_path: Path) -> None:
    books = write_cmu(tmp_path / "b.txt", [("One", "First.", []), ("Two", "Second.", [])])
    with books.open("ab") as file:
        file.write(b"3\t/m/3\tThree\n")  # cut short
        file.write(b"4\t/m/4\tFour\t\t\t{broken\t Fourth.\n")  # genres that are not JSON
        file.write(b"5\t/m/5\tFi\xffve\t\t\t\t Fifth.\n\n")  # a byte that is not UTF-8, an empty line
    rows = list(read_cmu(books))
    assert [r.text for r in rows] == [" First.", " Second.", None, " Fourth.", " Fifth."]
    assert rows[4].title == "Fi\ufffdve"

    films = write_mpst(tmp_path / "m.csv", [("A", "One.", ""), ("B", "Two.", "")])
    with films.open("a") as file:
        file.write("tt9,only two\n")
    assert [r.text for r in read_mpst(films)] == ["One.", "Two.", None]


def test_a_bare_carriage_return_cuts_no_row(tmp_path: Path) -> None:
    books = write_cmu(tmp_path / "b.txt", [("One", "A walk begins.\rIt ends at sea.", []), ("Two", "Second.", [])])
    assert [r.text for r in read_cmu(books)] == [" A walk begins.\rIt ends at sea.", " Second."]
    films = tmp_path / "m.csv"
    films.write_text(
        'title,plot_synopsis,tags\r\nA,They meet.\rThey part.,drama\r\nB,"One.\rTwo, three.",\r\n', newline=""
    )
    assert [(r.row, r.text) for r in read_mpst(films)] == [(2, "They meet. They part."), (3, "One. Two, three.")]


def test_prose_rows_know_where_their_story_begins_and_ends(tmp_path: Path) -> None:
    rows = [("A", 1, "a1"), ("A", 2, "a2"), ("B", 2, "b2"), ("B", 3, "b3"), ("C", 1, "c1"), ("C", 1, "c1 again")]
    read = [(r.text, r.begins, r.ends) for r in read_prose(write_prose(tmp_path / "p.jsonl", rows))]
    assert read == [
        ("a1", True, False), ("a2", False, True), ("b2", False, False), ("b3", False, True),
        ("c1", True, True), ("c1 again", True, True),
    ]  # fmt: skip


@pytest.mark.parametrize("line", ["no JSON", "[1, 2]", '{"title": "A", "text": "no part"}'])
def test_a_file_that_is_no_prose_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(CorpusError, match=r"wrong\.jsonl: row 1: expected a JSON object with title, part and text"):
        list(read_prose(path))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("id,name\n1,2\n", ["row 1", "'title'", "id,name"]),
        ("", ["row 1", "'title'"]),
        ("title,plot_synopsis,tags\nA,B\nC,D\nE,F,G\n", ["row 2", "2 columns"]),
        ('title,plot_synopsis,tags\nA,"never closed' + "x" * (1 << 20) + "\n", ["row 1", "plot_synopsis", "quote"]),
    ],
)
def test_a_file_that_is_no_mpst_is_refused(tmp_path: Path, content: str, says: list[str]) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text(content)
    with pytest.raises(CorpusError) as error:
        list(read_mpst(path))
    assert all(word in str(error.value) for word in [str(path), *says]), error.value


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", ["row 1", "empty"]),
        ("a,b,c\n1,2,3\n", ["row 1", "1 columns", "Freebase id"]),
        ("1\t2\ttitle\tauthor\t1999\tSatire, Novel\t Text.\n", ["row 1", "column 6 (genres)", "Satire, Novel"]),
    ],
)
def test_a_file_that_is_no_cmu_is_refused(tmp_path: Path, content: str, says: list[str]) -> None:
    path = tmp_path / "wrong.txt"
    path.write_text(content)
    with pytest.raises(CorpusError) as error:
        list(read_cmu(path))
    assert all(word in str(error.value) for word in [str(path), *says]), error.value


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"nowhere\.csv: cannot be read"):
        next(read_mpst(tmp_path / "nowhere.csv"))


def test_reading_streams(tmp_path: Path) -> None:
    path = write_cmu(tmp_path / "b.txt", [("T", "word " * 1000, [])] * 2000)  # 10 MB
    tracemalloc.start()
    count = sum(1 for _ in read_cmu(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 2000
    assert peak < 1_000_000
