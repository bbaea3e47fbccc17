"""The loops over a vocabulary's scores.

They are written so that LLVM vectorizes them: choices without branches, integers where the highest is looked for,
slices whose ends it knows. All in one file: what is kept on disk is compiled anew when the file of the function that
was called has changed, but not when that of a function it calls has.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt
from numpy import float32, int32, uint64

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.intp]
Loop = TypeVar("Loop", bound=Callable[..., Any])

BLOCK = 256
"""A token is drawn in two steps, a block of so many tokens and then one of them: cheaper than cumulating them all."""

FLOOR = float32(-80)
"""Tokens e⁸⁰ times less likely than the likeliest are never drawn; below e⁻⁸⁷ float32 loses digits, and much time."""

INT32_MIN, INT32_MAX = int32(-0x80000000), int32(0x7FFFFFFF)
MINUS_INFINITY, INFINITY = int32(-0x7F800001), int32(0x7F800000)
"""As `_ordered` has them. A NaN lies beyond one or the other."""


def compiled(*liberties: str) -> Callable[[Loop], Loop]:
    """Compiles a function at its first call, to run without Python's lock, and caches it on disk.

    liberties: that LLVM may take with the arithmetic: "contract", to multiply and add in one
    instruction; "reassoc", to add up in another order. The code is the same for a row alone and for a row among others.
    """

    def compile_later(function: Loop) -> Loop:
        try:
            compiling = numba.njit(nogil=True, fastmath=set(liberties), cache=True)(function)
        except RuntimeError:  # neither this folder nor the user's own takes files
            compiling = numba.njit(nogil=True, fastmath=set(liberties))(function)
        return compiling  # type: ignore[return-value]  # it is called as the function is

    return compile_later


def cache_folder(function: Callable[..., Any]) -> str | None:
    """The folder in which such a function is cached; None if there is none."""
    path: str | None = function.stats.cache_path  # type: ignore[attr-defined]
    return path


@compiled()
def log_sum_exp(scores: Floats) -> float:
    """ln Σ eˣ: what turns logits [vocab] into log-probabilities when it is subtracted.

    NaN where one is NaN or +inf, or all are -inf.
    """
    maxima = np.empty(_blocks(scores.size), np.float32)
    highest = _find_maxima(scores, maxima)
    total = 0.0
    for block in range(maxima.size):
        total += float(_sum_of_weights(scores[block * BLOCK : (block + 1) * BLOCK], highest))
    return float(highest) + math.log(total)


@compiled()
def likeliest(scores: Floats, count: int, least: np.float32) -> Ids:
    """The ids, in order, of the `count` highest of scores [vocab] that are `least` or more.

    Of equal ones those with the smaller ids.
    """
    maxima = np.empty(_blocks(scores.size), np.float32)
    _find_maxima(scores, maxima)
    return _likeliest(scores, maxima, count, least)


@compiled()
def sample(logits: Floats, inputs: npt.NDArray[np.void], tokens: Ids) -> None:
    """Samples a token for each input, of dtype `SAMPLING_INPUT`, on one thread."""
    blocks = _blocks(logits.shape[1])
    all_maxima, all_sums = np.empty(blocks, np.float32), np.empty(blocks, np.float32)
    for number in range(inputs.size):
        given = inputs[number]
        scores, blocks = logits[given.row][: given.vocab_size], _blocks(given.vocab_size)
        maxima, sums = all_maxima[:blocks], all_sums[:blocks]
        highest = _find_maxima(scores, maxima)
        if np.isnan(highest):
            tokens[number] = -1
        elif given.temperature == 0:
            tokens[number] = _first(scores, maxima, highest)
        elif given.top_k or given.min_p:
            share = np.log(given.min_p) if given.min_p else float(FLOOR)
            least = float32(highest + given.temperature * share)
            ids = _likeliest(scores, maxima, given.top_k or given.vocab_size, least)
            for place in range(ids.size):  # which come in order: none is overwritten before it is read
                scores[place] = scores[ids[place]]
            tokens[number] = ids[_nucleus(scores[: ids.size], sums[: _blocks(ids.size)], highest, given)]
        else:
            tokens[number] = _nucleus(scores, sums, highest, given)


@compiled()
def _nucleus(scores: Floats, sums: Floats, highest: np.float32, given: Any) -> int:
    """An index, drawn among the likeliest that together reach top-p, the first among equals first."""
    _weigh(scores, highest, float32(1 / given.temperature), sums)
    place, bound, total = 0, float32(0), _total(sums)
    enough = given.top_p * total
    tries = uint64(0)
    while True:
        point = total * _uniform(given.seed, given.generated + (tries << uint64(32)))
        place = _pick(scores, sums, point, place, bound)
        bound = scores[place]
        # What lies above is at most all the rest: a token of some weight is taken without a look at the others.
        if given.top_p == 1 or total - bound < enough:
            return place
        _add_up_above(scores, sums, place, bound)
        total = _total(sums)
        if total < enough:
            return place
        tries += uint64(1)


@compiled()
def _uniform(seed: np.uint64, number: np.uint64) -> float:
    """A random number from 0 up to 1, of SplitMix64.

    Source: Steele, Lea, Flood 2014, doi:10.1145/2660193.2660195. A token's first try is the next of the stream, and its
    others lie 2³² apart: none depends on how many others took.
    """
    bits = seed + (number + uint64(1)) * uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> uint64(27))) * uint64(0x94D049BB133111EB)
    return float((bits ^ (bits >> uint64(31))) >> uint64(11)) * 2.0**-53


@compiled()
def _pick(weights: Floats, sums: Floats, point: float, last: int, bound: np.float32) -> int:
    """The index of the weight that covers a point between 0 and the sum of weights.

    Only weights over `bound` count, and those as high before `last`. sums: of these in each block. A weight of 0 covers
    no point.
    """
    passed, own = 0.0, 0
    for block in range(sums.size):
        if sums[block] > 0:
            own = block
            if point < passed + sums[block]:
                break
            passed += sums[block]
    else:  # rounded up to the very end
        passed -= sums[own]
    place, below = own * BLOCK, np.nextafter(bound, float32(0))
    for near in range(own * BLOCK, min((own + 1) * BLOCK, weights.size)):
        if weights[near] > (below if near < last else bound):
            place = near
            passed += weights[near]
            if point < passed:
                break
    return place


@compiled()
def _total(sums: Floats) -> float:
    total = 0.0
    for block in range(sums.size):
        total += sums[block]
    return total


@compiled()
def _add_up_above(weights: Floats, sums: Floats, last: int, bound: np.float32) -> None:
    """The sum of the weights over `bound`, and of those as high before `last`, in each block."""
    below = np.nextafter(bound, float32(0))
    for block in range(sums.size):
        part = weights[block * BLOCK : (block + 1) * BLOCK]
        before = min(max(last - block * BLOCK, 0), part.size)
        sums[block] = _sum_above(part[:before], below) + _sum_above(part[before:], bound)


@compiled("contract", "reassoc")
def _sum_above(weights: Floats, bound: np.float32) -> np.float32:
    total = float32(0)
    for place in range(weights.size):
        weight = weights[place]
        total += weight if weight > bound else float32(0)
    return total


@compiled("contract", "reassoc")
def _weigh(scores: Floats, highest: np.float32, scale: np.float32, sums: Floats) -> None:
    """Puts in each score's place how likely it is beside the highest one; the sum of each block."""
    for block in range(sums.size):
        part = scores[block * BLOCK : (block + 1) * BLOCK]
        total = float32(0)
        for place in range(part.size):
            weight = _weight((part[place] - highest) * scale)
            part[place] = weight
            total += weight
        sums[block] = total


@compiled("contract", "reassoc")
def _sum_of_weights(scores: Floats, highest: np.float32) -> np.float32:
    total = float32(0)
    for place in range(scores.size):
        total += _weight(scores[place] - highest)
    return total


@compiled("contract")
def _weight(exponent: np.float32) -> np.float32:
    """eˣ of an x of 0 or less, within 10⁻⁷; 0 below FLOOR. It is expf of Cephes (Moshier 1989)."""
    possible = exponent > FLOOR
    exponent = exponent if possible else FLOOR
    power = int32(exponent * float32(1.44269504) - float32(0.5))
    rest = exponent - float32(power) * float32(0.693359375)
    rest = rest - float32(power) * float32(-2.12194440e-4)
    series = float32(1.9875691500e-4)
    series = series * rest + float32(1.3981999507e-3)
    series = series * rest + float32(8.3334519073e-3)
    series = series * rest + float32(4.1665795894e-2)
    series = series * rest + float32(1.6666665459e-1)
    series = series * rest + float32(5.0000001201e-1)
    series = series * rest * rest + rest + float32(1)
    two_to_the_power = int32((power + int32(127)) << int32(23)).view(np.float32)
    return series * two_to_the_power if possible else float32(0)


@compiled()
def _find_maxima(scores: Floats, maxima: Floats) -> np.float32:
    """The highest score of each block, and of all; NaN where one is NaN or +inf, or all are -inf."""
    bits = scores.view(np.int32)
    lowest, highest = INT32_MAX, INT32_MIN
    for block in range(maxima.size):
        part = bits[block * BLOCK : (block + 1) * BLOCK]
        top = INT32_MIN
        for place in range(part.size):
            key = _ordered(part[place])
            top = key if key > top else top
            lowest = key if key < lowest else lowest
        highest = top if top > highest else highest
        maxima[block] = int32(_ordered(top)).view(np.float32)
    if lowest < MINUS_INFINITY or highest >= INFINITY or highest <= MINUS_INFINITY:
        return float32(np.nan)
    return int32(_ordered(highest)).view(np.float32)


@compiled()
def _ordered(bits: np.int32) -> np.int32:
    """Of a float's bits, integers in the order of the floats; of these, the bits."""
    return int32(bits ^ ((bits >> int32(31)) & INT32_MAX))


@compiled()
def _first(scores: Floats, maxima: Floats, wanted: np.float32) -> int:
    """The first index of a score that is the highest of its block."""
    for block in range(maxima.size):
        if maxima[block] == wanted:
            for place in range(block * BLOCK, min((block + 1) * BLOCK, scores.size)):
                if scores[place] == wanted:
                    return place
    return -1


@compiled()
def _likeliest(scores: Floats, maxima: Floats, count: int, least: np.float32) -> Ids:
    if count < maxima.size:
        # So many blocks have a score at least as high as this one: at least so many tokens have.
        least = max(least, _highest_but(count - 1, maxima))
    ids = np.empty(scores.size, np.intp)
    found = 0
    for block in range(maxima.size):
        if maxima[block] >= least:
            for place in range(block * BLOCK, min((block + 1) * BLOCK, scores.size)):
                ids[found] = place  # overwritten by the next where it is none: there is no branch to be foretold
                found += scores[place] >= least
    if found <= count:
        return ids[:found]
    last = _highest_but(count - 1, scores[ids[:found]])
    equals = count
    for number in range(found):
        equals -= int(scores[ids[number]] > last)
    kept = 0
    for number in range(found):
        place = ids[number]
        equal = scores[place] == last
        ids[kept] = place
        kept += scores[place] > last or (equal and equals > 0)
        equals -= int(equal)
    return ids[:kept]


@compiled()
def _highest_but(others: int, scores: Floats) -> np.float32:
    """The highest score but `others`.

    Searches the integers in the order of the floats for the least one with at most so many scores above it.
    """
    bits = scores.view(np.int32)
    low, high = int(MINUS_INFINITY), int(INFINITY)
    while low < high:
        middle = (low + high) >> 1
        bound, above = int32(middle), 0
        for place in range(bits.size):
            above += int(_ordered(bits[place]) > bound)
        if above > others:
            low = middle + 1
        else:
            high = middle
    return int32(_ordered(int32(low))).view(np.float32)


@compiled()
def _blocks(size: int) -> int:
    return -(-size // BLOCK)
