"""Lengths of texts as JavaScript counts them."""


def utf16_length(text: str) -> int:
    """Return the number of UTF-16 units of a text: two for an emoji, one for most other characters."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
