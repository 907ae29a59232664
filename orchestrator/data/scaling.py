"""Standardisation, projection and scaling of inputs, fitted on the training part."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import InputError
from orchestrator.groups import Array
from orchestrator.process import one_blas_thread

Powers = NDArray[np.int64]
Parts = tuple[Array, Array]
"""Training and test inputs."""

_MODERATE = 400
"""Columns whose largest number is within 2**±400 are not rescaled by a power of two."""


def prepared(parts: Parts, features: int | None, scale: str) -> Parts:
    """Returns both parts, standardised, projected and scaled as ``source.Source`` describes.

    All transformations are fitted on the training part.

    Args:
        parts: training [N, C] and test [M, C] inputs.
        features: number of principal components; None, or no fewer than C, for all columns.
        scale: none, standard, minmax or angle.

    Raises:
        InputError: at ``data.features``, if it exceeds the rank of the training part.
    """
    if scale != "none":
        parts = _standardised(parts)
    if features is not None and features < parts[0].shape[1]:
        parts = _projected(parts, features)
    if scale == "standard":
        return _standardised(parts)
    if scale == "none":
        return parts
    return _ranged(parts, math.pi if scale == "angle" else 1.0)


def _standardised(parts: Parts) -> Parts:
    """Scales the columns to mean 0 and variance 1."""
    powers = -exponents(parts[0])
    train, test = (times_power(part, powers) for part in parts)
    return _affine((train, test), train.mean(0), train.std(0))


def exponents(values: Array) -> Powers:
    """Returns each column's power of two next to its largest number; 0 where squares can be summed.

    Between 2**-400 and 2**400, squares of numbers and of their differences in the last bit stay inside
    float64: (400 + 52)·2 < 1022, with room for the number of rows. Such columns are not rescaled, so the
    bits of ordinary data do not depend on this function.
    """
    exponents = np.frexp(np.abs(values).max(0))[1].astype(np.int64)
    return np.where(np.abs(exponents) > _MODERATE, exponents, 0)


def times_power(values: Array, powers: Powers) -> Array:
    """Returns values · 2**powers: exact, except where negligible next to the column's largest number."""
    return np.ldexp(values, powers) if powers.any() else values


def _ranged(parts: Parts, top: float) -> Parts:
    """Scales the columns of the training part to the interval from 0 to ``top``."""
    low, high = parts[0].min(0), parts[0].max(0)
    train, test = _affine(parts, low, high - low)
    return top * train, top * test


def _affine(parts: Parts, origin: Array, unit: Array) -> Parts:
    """Returns (x - origin) / unit; 0 in columns that are constant in the training part."""
    is_constant = constant(parts[0])
    unit = np.where(is_constant, 1.0, unit)
    train, test = (np.where(is_constant, 0.0, (part - origin) / unit) for part in parts)
    return train, test


def constant(inputs: Array) -> NDArray[np.bool_]:
    """Returns which columns are constant, bool [C]."""
    return np.asarray(inputs.max(0) == inputs.min(0))


def _projected(parts: Parts, features: int) -> Parts:
    """Returns the first ``features`` principal components; the largest loading of each is positive."""
    power = exponents(parts[0].ravel())
    train, test = (times_power(part, -power) for part in parts)
    mean = train.mean(0)
    with one_blas_thread():
        _, spread, axes = np.linalg.svd(np.linalg.qr(train - mean, mode="r"))
    rank = int((spread > spread[0] * max(train.shape) * np.finfo(np.float64).eps).sum())
    if features > rank:
        message = f"is {features}, but the training part spans {rank} dimensions (legal: 1 to {rank})"
        raise InputError.at("data.features", message)
    axes = axes[:features]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1)
    loadings = (axes * np.sign(largest)).T
    with one_blas_thread():
        projected = (train - mean) @ loadings, (test - mean) @ loadings
    return times_power(projected[0], power), times_power(projected[1], power)
