"""Unbiased estimates of the square of a mean, and of the variance of that estimate."""

from __future__ import annotations

from typing import NamedTuple

from orchestrator.groups import Array

FEWEST_SHOTS = 4
"""Smallest number of shots for the variance, which is of fourth order in the outcomes."""


class CentralMoments(NamedTuple):
    """Central moments of T independent samples of N outcomes z: means over z of (z - z̄)^r.

    Attributes:
        second, third, fourth: [..., T] for r = 2, 3, 4.
    """

    second: Array
    third: Array
    fourth: Array


def sign_moments(mean: Array, scale: Array) -> CentralMoments:
    """Returns the moments of samples whose outcomes are ± a number.

    Args:
        mean: [..., T] mean of the signs ±1.
        scale: [..., T] or [T] the number.
    """
    rest = 1.0 - mean * mean
    square = scale * scale
    return CentralMoments(
        second=square * rest,
        third=-2.0 * square * scale * mean * rest,
        fourth=square * square * rest * (4.0 - 3.0 * rest),
    )


def square_of_mean(mean: Array, moments: CentralMoments, shots: int) -> tuple[Array, Array]:
    """Estimates μ² and the variance of that estimate, where a sum of T sample means estimates μ.

    For one sample with sums S_r = Σ z^r, L = (S1² - S2)/(N(N-1)) estimates μ². It is the mean of z_i z_j over
    all pairs i ≠ j. Likewise the mean H of z_i z_j z_k z_l over all different i, j, k, l estimates μ⁴:

        H = (S1⁴ - 6 S1² S2 + 3 S2² + 8 S1 S3 - 6 S4) / (N(N-1)(N-2)(N-3)).

    So L² - H estimates Var L = E L² - μ⁴ (Hoeffding 1948: U-statistics).

    The same statistics of z - z̄ are h1 = 0, h2, h3 and h4. For T independent samples they add up by the
    binomial theorem:

        h2 = Σh2_t,  h3 = Σh3_t,  h4 = Σ(h4_t - 3 h2_t²) + 3 h2².

    A shift by m gives L = m² + h2 and H = m⁴ + 6 m² h2 + 4 m h3 + h4. Both stay unbiased, because in every
    term each sample has a factor of its own. The variance that is returned, L² - H, is exactly 0 where no
    outcome scatters, and may be negative where some do.

    Args:
        mean: [...] m, the sum of the sample means minus the value that μ is compared with.
        moments: [..., T] of the samples.
        shots: N ≥ 4 outcomes of each sample.

    Returns:
        L and the estimate of its variance, [...] each.

    Example:
        Ten outcomes ±1, six of them +1, have the mean 0.2; compared with 1:

        >>> import numpy as np
        >>> signs = sign_moments(np.array([0.2]), np.ones(1))
        >>> square, variance = square_of_mean(np.array(0.2 - 1.0), signs, 10)
        >>> round(float(square), 6), round(float(variance), 6)
        (0.533333, 0.208254)
    """
    first, second, third = shots - 1.0, shots - 2.0, shots - 3.0
    h2 = -moments.second / first
    h3 = 2.0 * moments.third / (first * second)
    h4 = (3.0 * shots * moments.second**2 - 6.0 * moments.fourth) / (first * second * third)
    scatter = -h2.sum(-1)
    excess = (h4 - 3.0 * h2 * h2).sum(-1)
    square = mean * mean
    return square - scatter, 4.0 * square * scatter - 4.0 * mean * h3.sum(-1) - 2.0 * scatter**2 - excess
