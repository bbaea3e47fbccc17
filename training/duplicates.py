"""Near-duplicates, found with MinHash and locality-sensitive hashing (Broder 1997; the datasketch package)."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

from datasketch import MinHash, MinHashLSH

WORDS = re.compile(r"\w+")
SHINGLE = 3
"""Words in a shingle: short enough that a one-sentence summary has a dozen, long enough that a phrase is no theft."""


def fingerprint(text: str) -> str:
    """A hex digest of the text's words alone: case, punctuation and spaces do not count."""
    return hashlib.blake2b(" ".join(WORDS.findall(text.lower())).encode(), digest_size=16).hexdigest()


def shingles(text: str) -> set[bytes]:
    words = WORDS.findall(text.lower())
    return {" ".join(words[i : i + SHINGLE]).encode() for i in range(max(1, len(words) - SHINGLE + 1))}


def near_duplicates(texts: Iterable[tuple[str, str]], similarity: float = 0.6, permutations: int = 64) -> set[str]:
    """Return the keys of texts whose shingles resemble those of an earlier one.

    Args:
        texts: (key, text); the earlier of two alike is kept, so give them in an order that does not depend on the file.
        similarity: Jaccard similarity of the shingle sets from which two texts count as the same.
        permutations: length of a MinHash; the estimate's standard error is about 1 / sqrt(permutations).
    """
    index = MinHashLSH(threshold=similarity, num_perm=permutations)
    found: set[str] = set()
    for key, text in texts:
        sketch = MinHash(num_perm=permutations, seed=1)
        sketch.update_batch(list(shingles(text)))
        if index.query(sketch):
            found.add(key)
        else:
            index.insert(key, sketch)
    return found


def repeats(collections: Iterable[list[tuple[str, str]]], share: float = 0.5) -> set[str]:
    """Return the keys of texts that mostly repeat an earlier one of the same collection, as seasons of a series do.

    Args:
        collections: for each, its texts as (key, text); the longest of those that repeat each other is kept.
        share: of the shorter text's shingles, so many stand in the longer one, too.
    """
    found: set[str] = set()
    for texts in collections:
        holders: dict[bytes, list[int]] = {}
        ordered = sorted(texts, key=lambda entry: (-len(entry[1]), entry[0])) if len(texts) > 1 else []
        for number, (key, text) in enumerate(ordered):
            own = shingles(text)
            shared = Counter(holder for shingle in own for holder in holders.get(shingle, ()))
            if shared and max(shared.values()) >= share * len(own):
                found.add(key)
                continue
            for shingle in own:
                holders.setdefault(shingle, []).append(number)
    return found
