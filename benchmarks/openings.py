"""Invented openings of stories. The same seed gives the same ones."""

import random

HEROES = (
    *("a lighthouse keeper", "the youngest of three sisters", "a retired chess player", "the night porter"),
    *("a clockmaker from the harbour", "the new teacher", "an honest thief", "the miller's widow"),
)
DEEDS = (
    *("finds a letter addressed to somebody else", "follows a stranger through the rain"),
    *("inherits a railway station where no train has stopped for years", "loses the only map of the valley"),
    *("builds a bridge that nobody has asked for", "hears the bells of a drowned village"),
    *("wakes in a house that is not hers", "sells a secret for the price of a ticket"),
)
TURNS = (
    *("and nobody believes it", "while the river rises", "on the eve of the fair", "before the first snow"),
    *("although the war is long over", "until the whole town has to choose", "because of an old promise"),
    "as the island empties",
)


def opening(draw: random.Random, words: int) -> str:
    """Return a text of about `words` words, at least one sentence. Few texts begin alike."""
    text = ""
    while len(text.split()) < words:
        sentence = f"{draw.choice(HEROES)} {draw.choice(DEEDS)} {draw.choice(TURNS)}."
        text += f" {sentence[0].upper()}{sentence[1:]}"
    return text.strip() if words < 20 else " ".join(text.split()[:words])
