"""Finding near-duplicates with MinHash and locality-sensitive hashing.

Source: Broder 1997, as implemented in the datasketch package.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

from datasketch import MinHash, MinHashLSH

WORDS = re.compile(r"\w+")
SHINGLE = 3
"""Number of words in a shingle.

A one-sentence summary has about a dozen shingles of this length. Two texts may share a common phrase without counting
as duplicates.
"""


def fingerprint(text: str) -> str:
    """Return a hex digest of the words of a text, ignoring case, punctuation and spaces."""
    return hashlib.blake2b(" ".join(WORDS.findall(text.lower())).encode(), digest_size=16).hexdigest()


def shingles(text: str) -> set[bytes]:
    words = WORDS.findall(text.lower())
    return {" ".join(words[i : i + SHINGLE]).encode() for i in range(max(1, len(words) - SHINGLE + 1))}


def near_duplicates(texts: Iterable[tuple[str, str]], similarity: float = 0.6, permutations: int = 64) -> set[str]:
    """Return the keys of texts with nearly the same shingles as an earlier text.

    Args:
        texts: pairs of (key, text). The earlier of two near-duplicates is kept, so the order should not depend on the
            file.
        similarity: two texts are near-duplicates if the Jaccard similarity of their shingle sets is at least this.
        permutations: length of a MinHash. The standard error of the estimate is about 1 / sqrt(permutations).
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
    """Return the keys of texts that mostly repeat a longer text of the same collection.

    The summaries of a series' seasons, for example, often repeat one another.

    Args:
        collections: for each collection, its texts as pairs of (key, text). Of the texts that repeat one another, the
            longest is kept.
        share: a text repeats a longer one if this share of its shingles is also in the longer one.
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
