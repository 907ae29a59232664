"""Binomial counts, one from each uniform number, compiled by Numba."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit


@njit(cache=True)
def _count(shots: int, p: float, u: float) -> int:
    """The count whose interval of [0, 1) holds ``u``; intervals lie side by side from the mode outwards.

    Inversion by chop-down from the mode (Kemp 1986): about sqrt(shots) steps.
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
    """Numbers of successes in ``shots`` trials, binomially distributed.

    Args:
        shots: N.
        probability: of a success; what rounding has put beyond 0 or 1 counts as 0 or 1.
        uniform: in [0, 1), of the same shape: the randomness.

    Returns:
        float64 of the same shape, whole numbers 0 … N; NaN where the probability is.
    """
    counts = np.empty(probability.shape)
    _counts(shots, np.ravel(probability), np.ravel(uniform), counts.reshape(-1))
    return counts
