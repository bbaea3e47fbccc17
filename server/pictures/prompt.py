"""The prompt for a picture of a plot."""

import re

MAX_LENGTH = 240
"""Characters of the plot in the prompt. With the words before them, they fill CLIP's 77 tokens."""

NEXT_SENTENCE = re.compile(r"""[.!?…]["'”’)]*\s+(?=\S)|[。！？][」』]?\s*(?=\S)""")


def picture_prompt(plot_text: str, title: str, genre: str | None) -> str:
    """Return a prompt from the end of a plot, the part in view of its writer.

    It takes as many of the last sentences as fit in MAX_LENGTH characters. A longer last sentence is cut after a whole
    word. White space becomes single spaces. If the plot has no words, the title stands in. The genre and the kind of
    picture come first, for encoders that read only the beginning.
    """
    told = " ".join(plot_text.split()) or " ".join(title.split())
    starts = [0, *(found.end() for found in NEXT_SENTENCE.finditer(told))]
    start = next((start for start in starts if len(told) - start <= MAX_LENGTH), starts[-1])
    kind = f"Illustration of a scene from a {genre.lower()} story" if genre else "Illustration of a scene from a story"
    return f"{kind}, painterly, no lettering: {_beginning(told[start:])}"


def _beginning(sentence: str) -> str:
    if len(sentence) <= MAX_LENGTH:
        return sentence
    return sentence[: MAX_LENGTH + 1].rpartition(" ")[0] or sentence[:MAX_LENGTH]
