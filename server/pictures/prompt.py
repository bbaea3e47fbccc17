"""What a picture service is asked for."""

import re

MAX_LENGTH = 240
"""Characters of the plot that are sent: with what stands before them, about the 77 tokens that CLIP reads."""

NEXT_SENTENCE = re.compile(r"""[.!?…]["'”’)]*\s+(?=\S)|[。！？][」』]?\s*(?=\S)""")


def picture_prompt(plot_text: str, title: str, genre: str | None) -> str:
    """A prompt from the end of a plot, which is what the writer has before their eyes.

    As many of the last sentences as have room in MAX_LENGTH characters; of a last one that is longer, its beginning, to
    a whole word. White space is made single spaces. A plot without a word is told by its title. The genre and the kind
    of picture stand before it, where an encoder that reads only the beginning finds them.
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
