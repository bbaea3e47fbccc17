"""Sampling kernels: loops over the scores of a vocabulary, compiled by Numba.

Their form lets LLVM vectorize them: choices without branches, integers in the search for the maximum, slices with known
ends. All are in one file because of Numba's cache on disk: it notices a change in the file of the called function, but
not in the files of the functions called by that one.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy import float32, int32, uint64

from server.engine.arrays import Floats, Ids
from server.engine.sampling.compilation import compiled

BLOCK = 256
"""Number of tokens in a block. A draw chooses a block, then a token in it: faster than one long sum."""

FLOOR = float32(-80)
"""Tokens e⁸⁰ times less likely than the likeliest are never drawn.

Below e⁻⁸⁷ float32 loses digits and becomes slow.
"""

INT32_MIN, INT32_MAX = int32(-0x80000000), int32(0x7FFFFFFF)
MINUS_INFINITY, INFINITY = int32(-0x7F800001), int32(0x7F800000)
"""The infinities as `_ordered` gives them. NaNs lie outside of the two."""


@compiled()
def log_sum_exp(scores: Floats) -> float:
    """Return ln Σ eˣ. Logits [vocab] minus this are log probabilities.

    It is NaN if a score is NaN or +inf, or all are -inf.
    """
    maxima = np.empty(_blocks(scores.size), np.float32)
    highest = _find_maxima(scores, maxima)
    total = 0.0
    for block in range(maxima.size):
        total += float(_sum_of_weights(scores[block * BLOCK : (block + 1) * BLOCK], highest))
    return float(highest) + math.log(total)


@compiled()
def likeliest(scores: Floats, count: int, least: np.float32) -> Ids:
    """Return the ids of the `count` highest scores [vocab], only of scores of at least `least`.

    The ids are in ascending order. Of equal scores it takes the smaller ids.
    """
    maxima = np.empty(_blocks(scores.size), np.float32)
    _find_maxima(scores, maxima)
    return _likeliest(scores, maxima, count, least)


@compiled()
def guided(logits: Floats, against: Floats, strength: np.float32, reach: np.float32) -> Floats:
    """Return guided log probabilities [vocab]; see `guide`.

    reach: the logarithm of the floor. Logits below the highest one plus `reach` become -inf.
    """
    maxima = np.empty(_blocks(logits.size), np.float32)
    highest = _find_maxima(logits, maxima)
    scores = np.full(logits.size, float32(-np.inf))
    if not np.isnan(highest):
        # Few tokens are plausible; the others only matter for the two sums.
        kept = _likeliest(logits, maxima, logits.size, float32(highest + reach))
        total, total_against = float32(log_sum_exp(logits)), float32(log_sum_exp(against))
        for number in range(kept.size):
            place = kept[number]
            own, plain = logits[place] - total, against[place] - total_against
            scores[place] = plain + strength * (own - plain)
    return scores


@compiled()
def penalise(
    scores: Floats, ids: Ids, drawn: Floats, repetition: np.float32, presence: np.float32, frequency: np.float32
) -> None:
    """Apply the three penalties of `Sampling` to the scores [vocab] of the tokens `ids`, in place.

    drawn: how often each of them was drawn.
    """
    for number in range(ids.size):
        score = scores[ids[number]]
        if repetition != 1:
            score = score / repetition if score > 0 else score * repetition
        score -= frequency * drawn[number]
        scores[ids[number]] = score - presence * float32(drawn[number] > 0)


@compiled()
def sample(logits: Floats, inputs: npt.NDArray[np.void], tokens: Ids) -> None:
    """Sample a token for each input of dtype `SAMPLING_INPUT`, on one thread."""
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
            for place in range(ids.size):  # ids ascend, so no score is overwritten before it is read
                scores[place] = scores[ids[place]]
            tokens[number] = ids[_nucleus(scores[: ids.size], sums[: _blocks(ids.size)], highest, given)]
        else:
            tokens[number] = _nucleus(scores, sums, highest, given)


@compiled()
def _nucleus(scores: Floats, sums: Floats, highest: np.float32, given: Any) -> int:
    """Draw an index from the nucleus: the likeliest ones that together reach top-p.

    Of equal scores, the first counts as the likelier. `scores` become weights.
    """
    _weigh(scores, highest, float32(1 / given.temperature), sums)
    # At first every weight counts. Numba would compile `_pick` a second time for a place that is the constant 0.
    place, bound, total = scores.size, float32(0), _total(sums)
    enough = given.top_p * total
    tries = uint64(0)
    while True:
        point = total * _uniform(given.seed, given.generated + (tries << uint64(32)))
        place = _pick(scores, sums, point, place, bound)
        bound = scores[place]
        # The weights above add up to at most total - bound. If even that is below top-p, there is no need to add them.
        if given.top_p == 1 or total - bound < enough:
            return place
        _add_up_above(scores, sums, place, bound)
        total = _total(sums)
        if total < enough:
            return place
        tries += uint64(1)


@compiled()
def _uniform(seed: np.uint64, number: np.uint64) -> float:
    """Return the random number at index `number` of SplitMix64's stream, from 0 to below 1.

    The first try for a token takes the token's own number, and further tries lie 2³² apart. So a draw does not depend
    on the number of tries for earlier tokens. Source: Steele, Lea, Flood 2014, doi:10.1145/2660193.2660195.
    """
    bits = seed + (number + uint64(1)) * uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> uint64(27))) * uint64(0x94D049BB133111EB)
    return float((bits ^ (bits >> uint64(31))) >> uint64(11)) * 2.0**-53


@compiled()
def _pick(weights: Floats, sums: Floats, point: float, last: int, bound: np.float32) -> int:
    """Return the index of the weight that covers a point between 0 and the sum of weights.

    Only weights over `bound` count, and weights equal to it before the index `last`. `sums` has the sum of these in
    each block. A weight of 0 covers no point.
    """
    passed, own = 0.0, 0
    for block in range(sums.size):
        if sums[block] > 0:
            own = block
            if point < passed + sums[block]:
                break
            passed += sums[block]
    else:  # rounding has put the point past the last sum
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
    """Set `sums` to each block's sum of the weights over `bound`, and of those equal to it before `last`."""
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
    """Replace each score by its weight, eˣ relative to the highest, and set `sums` to each block's sum."""
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
    """Return eˣ of an x of 0 or less, to within 10⁻⁷; 0 below FLOOR.

    Source: expf of Cephes (Moshier 1989).
    """
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
    """Set `maxima` to the highest score of each block, and return the highest of all.

    Return NaN if a score is NaN or +inf, or all are -inf.
    """
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
    """Return an integer in the order of the floats for a float's bits, and the bits for such an integer."""
    return int32(bits ^ ((bits >> int32(31)) & INT32_MAX))


@compiled()
def _first(scores: Floats, maxima: Floats, wanted: np.float32) -> int:
    """Return the first index of the score `wanted`, the highest of its block; -1 if there is none."""
    for block in range(maxima.size):
        if maxima[block] == wanted:
            for place in range(block * BLOCK, min((block + 1) * BLOCK, scores.size)):
                if scores[place] == wanted:
                    return place
    return -1


@compiled()
def _likeliest(scores: Floats, maxima: Floats, count: int, least: np.float32) -> Ids:
    if count < maxima.size:
        # At least `count` blocks, and so at least `count` tokens, have a score this high.
        least = max(least, _highest_but(count - 1, maxima))
    ids = np.empty(scores.size, np.intp)
    found = 0
    for block in range(maxima.size):
        if maxima[block] >= least:
            for place in range(block * BLOCK, min((block + 1) * BLOCK, scores.size)):
                ids[found] = place  # the next one overwrites it if the score is too low: no branch to mispredict
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
    """Return the highest score after the `others` highest ones.

    A binary search over the floats, as ordered integers, finds the lowest one with at most `others` scores above it.
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
