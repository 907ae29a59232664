"""Reductions of rows, float64 [N, n] → [N]; the bits of a row do not depend on the other rows.

A sum is a dot product along the contiguous last axis, or NumPy's sum if that axis is long.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orchestrator.groups import Array

_LONGEST = 1 << 13
"""Longest dot product that BLAS computes in one thread, whatever its number of threads."""


def row_dot(left: Array, right: Array) -> Array:
    """Returns Σ_k left_k right_k of each row, [N]."""
    if left.shape[1] > _LONGEST:
        return np.asarray((left * right).sum(-1))
    return np.vecdot(left, right)


def row_sum(values: Array) -> Array:
    """Returns the sum of each row, [N]."""
    long = values.shape[1] > _LONGEST
    return np.asarray(values.sum(-1)) if long else np.vecdot(values, np.ones((1, values.shape[1])))


def row_norm(values: Array) -> Array:
    """Returns the Euclidean norm of each row, [N]."""
    return np.sqrt(row_dot(values, values))


def row_norm_if_known(values: Array | None, like: Array) -> Array:
    """Returns ``row_norm``; NaN in the shape of ``like`` [N] if ``values`` is None."""
    return np.full_like(like, np.nan) if values is None else row_norm(values)


def row_mean(values: Array) -> Array:
    """Returns the mean of each row, [N]."""
    return row_sum(values) / values.shape[1]


def row_share(mask: NDArray[np.bool_]) -> Array:
    """Returns the share of true components of each row of [N, n], in [0, 1], [N]."""
    return np.count_nonzero(mask, axis=-1) / mask.shape[1]


def share_below(ordered: Array, limit: Array | float) -> Array:
    """Returns the share of components below ``limit``, [N].

    Args:
        ordered: [N, n] rows in ascending order, NaN last.
        limit: [N, 1] or a number.
    """
    # The smallest component of a row shows whether any is below the limit; mostly none is.
    if not (ordered[:, :1] < limit).any():
        return np.zeros(len(ordered))
    return row_share(ordered < limit)


def share_nonfinite(ordered: Array) -> Array:
    """Returns the share of components that are NaN or infinite, [N]; rows ascend, NaN last."""
    if np.isfinite(ordered[:, -1]).all():
        return np.zeros(len(ordered))
    return row_share(~np.isfinite(ordered))


def or_nan(divisor: Array) -> Array:
    """Returns the divisors, with NaN for those that are not positive."""
    return np.where(divisor > 0.0, divisor, np.nan)
