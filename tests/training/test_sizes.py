"""The sizes to train from scratch."""

import pytest

from training.sizes import size_of


@pytest.mark.parametrize(
    ("base", "dimensions"),
    [("mini", (6, 5, 320, 8192, 512)), ("8x384", (8, 6, 384, 8192, 512)), ("2x64/300/128", (2, 1, 64, 300, 128))],
)
def test_a_size_is_declared_or_given_by_its_dimensions(base: str, dimensions: tuple[int, ...]) -> None:
    size = size_of(base)
    assert size is not None
    assert (size.layers, size.heads, size.width, size.vocabulary, size.context) == dimensions


@pytest.mark.parametrize("base", ["0x64", "2x0", "2x100", "2x64/256", "2x64/300/1"])
def test_dimensions_that_make_no_network_are_refused(base: str) -> None:
    with pytest.raises(ValueError, match="LAYERSxWIDTH"):
        size_of(base)


@pytest.mark.parametrize("base", ["medium", "data/plotify-mini", "openai-community/gpt2", "2x64/300/128/9"])
def test_other_bases_are_no_size(base: str) -> None:
    assert size_of(base) is None
