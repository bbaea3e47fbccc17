"""The prompt for a service."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.pictures.prompt import MAX_LENGTH, picture_prompt

BEFORE = "Illustration of a scene from a story, painterly, no lettering: "


def test_it_holds_the_genre_and_the_last_sentences_that_have_room() -> None:
    plot = f"{'The first sentence is long. ' * 20}\n\nThe fox sleeps.  “Wake up!” says the owl.\nIt rains."
    prompt = picture_prompt(plot, "The fox", "Science Fiction")
    end = "The first sentence is long. The fox sleeps. “Wake up!” says the owl. It rains."
    assert prompt.startswith("Illustration of a scene from a science fiction story, painterly, no lettering: The first")
    assert prompt.endswith(end)
    assert MAX_LENGTH - 30 < len(prompt.partition(": ")[2]) <= MAX_LENGTH


@pytest.mark.parametrize(
    ("plot", "title", "scene"),
    [
        ("A fox.", "T", "A fox."),
        ("", "The  fox", "The fox"),
        (" \n", "", ""),
        ("word " * 100, "T", ("word " * 48).strip()),
        ("x" * 1000, "T", "x" * MAX_LENGTH),
        ("狐が走る。雨が降る。", "T", "狐が走る。雨が降る。"),
    ],
)
def test_odd_plots(plot: str, title: str, scene: str) -> None:
    assert picture_prompt(plot, title, None) == BEFORE + scene


@given(st.text(), st.text(max_size=100))
def test_it_is_bounded_and_one_line(plot: str, title: str) -> None:
    prompt = picture_prompt(plot, title, None)
    assert len(prompt) <= len(BEFORE) + MAX_LENGTH
    assert "\n" not in prompt
