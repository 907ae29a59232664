"""Sums over consecutive samples of a call, compiled by Numba. Samples are added to their rows in order."""

from __future__ import annotations

from typing import Any

from numba import njit


@njit(cache=True)
def add_moments(
    offset: int, samples: int, weights: Any, slope: Any, jacobian: Any, gradient: Any, square: Any
) -> None:
    """Adds p_i ∂l_i and p_i (∂l_i)², with ∂l_i = a_i ∂E_i.

    Args:
        offset: the first sample, counted over all R·B.
        samples: B.
        weights: [N] p_i
        slope: [N] a_i
        jacobian: [N, P] ∂E_i
        gradient: [R, P], added to.
        square: [R, P], added to.
    """
    for i in range(jacobian.shape[0]):
        row, weight, factor = (offset + i) // samples, weights[i], slope[i]
        for k in range(jacobian.shape[1]):
            derivative = factor * jacobian[i, k]
            weighted = weight * derivative
            gradient[row, k] += weighted
            square[row, k] += weighted * derivative


@njit(cache=True)
def add_weighted(offset: int, samples: int, weights: Any, numbers: Any, total: Any) -> None:
    """Adds w_i x_i.

    Args:
        offset: the first sample, counted over all R·B.
        samples: B.
        weights: [N] w_i
        numbers: [N, W] x_i
        total: [R, W], added to.
    """
    for i in range(numbers.shape[0]):
        row = (offset + i) // samples
        for k in range(numbers.shape[1]):
            total[row, k] += weights[i] * numbers[i, k]


@njit(cache=True)
def squares(jacobian: Any, norms: Any) -> None:
    """Writes the squared norms |x_i|² [N] of x_i [N, P]."""
    for i in range(jacobian.shape[0]):
        total = 0.0
        for k in range(jacobian.shape[1]):
            total += jacobian[i, k] * jacobian[i, k]
        norms[i] = total
