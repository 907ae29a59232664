"""Reductions of rows, float64 [N, n] → [N], whose bits do not depend on the rows beside them.

Every sum is a dot product of one row along the contiguous last axis, or NumPy's own sum where that is long.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orchestrator.groups import Array

_LONGEST = 1 << 13
"""Of the dot products that one thread computes, however many BLAS has."""


def row_dot(left: Array, right: Array) -> Array:
    """Σ_k left_k right_k of each row, [N]."""
    if left.shape[1] > _LONGEST:
        return np.asarray((left * right).sum(-1))
    return np.vecdot(left, right)


def row_sum(values: Array) -> Array:
    """Sum of each row, [N]."""
    long = values.shape[1] > _LONGEST
    return np.asarray(values.sum(-1)) if long else np.vecdot(values, np.ones((1, values.shape[1])))


def row_norm(values: Array) -> Array:
    """Euclidean norm of each row, [N]."""
    return np.sqrt(row_dot(values, values))


def row_norm_if_known(values: Array | None, like: Array) -> Array:
    """``row_norm``; NaN in the shape of ``like`` [N] where there are no values."""
    return np.full_like(like, np.nan) if values is None else row_norm(values)


def row_mean(values: Array) -> Array:
    """Mean of each row, [N]."""
    return row_sum(values) / values.shape[1]


def row_share(mask: NDArray[np.bool_]) -> Array:
    """Share of true components of each row of [N, n], in [0, 1], [N]."""
    return np.count_nonzero(mask, axis=-1) / mask.shape[1]


def share_below(ordered: Array, limit: Array | float) -> Array:
    """Share of components below ``limit`` ([N, 1] or a number) in rows in ascending order (NaN last), [N].

    Most rows show with their smallest that they have none.
    """
    if not (ordered[:, :1] < limit).any():
        return np.zeros(len(ordered))
    return row_share(ordered < limit)


def share_nonfinite(ordered: Array) -> Array:
    """Share of components that are NaN or infinite in rows in ascending order (NaN last), [N]."""
    if np.isfinite(ordered[:, -1]).all():
        return np.zeros(len(ordered))
    return row_share(~np.isfinite(ordered))


def or_nan(divisor: Array) -> Array:
    """Divisors, with NaN in place of what is not positive."""
    return np.where(divisor > 0.0, divisor, np.nan)
