"""Binomial counts, each drawn from one uniform number, compiled by Numba."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit


@njit(cache=True)
def _count(shots: int, p: float, u: float) -> int:
    """Returns the count whose interval of [0, 1) contains ``u``.

    An interval is as long as its count's probability; intervals are ordered from the mode outwards. This is
    inversion by chop-down from the mode (Kemp 1986), in about sqrt(shots) steps.
    """
    odds = p / (1.0 - p)
    high = low = min(shots, int((shots + 1) * p))
    chance = math.exp(
        math.lgamma(shots + 1.0)
        - math.lgamma(high + 1.0)
        - math.lgamma(shots - high + 1.0)
        + high * math.log(p)
        + (shots - high) * math.log1p(-p)
    )
    above = below = chance
    u -= chance
    while u >= 0.0 and (above > 0.0 or below > 0.0):
        above *= (shots - high) * odds / (high + 1)
        u -= above
        high += 1
        if u < 0.0:
            return high
        below *= low / ((shots - low + 1) * odds)
        u -= below
        low -= 1
        if u < 0.0:
            return low
    return min(shots, int((shots + 1) * p))


@njit(cache=True)
def _counts(shots: int, probability: Any, uniform: Any, counts: Any) -> None:
    for i in range(counts.size):
        p = probability[i]
        if 0.0 < p < 1.0:
            counts[i] = _count(shots, p, uniform[i])
        else:
            counts[i] = p if math.isnan(p) else (shots if p >= 1.0 else 0.0)


def binomial(shots: int, probability: Any, uniform: Any) -> Any:
    """Draws numbers of successes in ``shots`` trials, which are binomially distributed.

    Args:
        shots: N.
        probability: of a success. Values that rounding moved below 0 or above 1 count as 0 or 1.
        uniform: random numbers in [0, 1), of the same shape.

    Returns:
        float64 of the same shape, whole numbers 0 … N; NaN where the probability is NaN.
    """
    counts = np.empty(probability.shape)
    _counts(shots, np.ravel(probability), np.ravel(uniform), counts.reshape(-1))
    return counts
