"""Standardising, projecting and scaling inputs as their training part asks."""

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
"""Powers of two up to which data are scaled as they are."""


def prepared(parts: Parts, features: int | None, scale: str) -> Parts:
    """Both parts as ``source.Source`` describes, fitted on the first.

    Args:
        parts: training [N, C] and test [M, C] inputs.
        features: number of principal components; None, or no fewer than C, for all columns.
        scale: none, standard, minmax or angle.

    Raises:
        InputError: at ``data.features``, the training part has fewer dimensions than that.
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
    """Mean 0 and variance 1."""
    powers = -exponents(parts[0])
    train, test = (times_power(part, powers) for part in parts)
    return _affine((train, test), train.mean(0), train.std(0))


def exponents(values: Array) -> Powers:
    """Of each column the power of two that is next to its largest number; 0 where squares can be summed.

    Squares of numbers, and of their differences in the last bit, stay inside float64 between
    2**-400 and 2**400: (400 + 52)·2 < 1022, with room for the number of rows. Nothing is divided by
    a power there, so that the bits of ordinary data do not depend on this.
    """
    exponents = np.frexp(np.abs(values).max(0))[1].astype(np.int64)
    return np.where(np.abs(exponents) > _MODERATE, exponents, 0)


def times_power(values: Array, powers: Powers) -> Array:
    """values · 2**powers: exact but for what is negligible beside the largest number of its column."""
    return np.ldexp(values, powers) if powers.any() else values


def _ranged(parts: Parts, top: float) -> Parts:
    """From 0 to ``top``."""
    low, high = parts[0].min(0), parts[0].max(0)
    train, test = _affine(parts, low, high - low)
    return top * train, top * test


def _affine(parts: Parts, origin: Array, unit: Array) -> Parts:
    """(x - origin) / unit; 0 where the training part is constant."""
    still = constant(parts[0])
    unit = np.where(still, 1.0, unit)
    train, test = (np.where(still, 0.0, (part - origin) / unit) for part in parts)
    return train, test


def constant(inputs: Array) -> NDArray[np.bool_]:
    """Which columns hold one number only, [C]."""
    return np.asarray(inputs.max(0) == inputs.min(0))


def _projected(parts: Parts, features: int) -> Parts:
    """The first ``features`` principal components; the largest loading of each is positive."""
    power = exponents(parts[0].ravel())
    train, test = (times_power(part, -power) for part in parts)
    mean = train.mean(0)
    with one_blas_thread():
        _, spread, axes = np.linalg.svd(np.linalg.qr(train - mean, mode="r"))
    rank = int((spread > spread[0] * max(train.shape) * np.finfo(np.float64).eps).sum())
    if features > rank:
        raise InputError.at("data.features", f"is {features}, but the training part spans {rank} dimensions")
    axes = axes[:features]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1)
    loadings = (axes * np.sign(largest)).T
    with one_blas_thread():
        projected = (train - mean) @ loadings, (test - mean) @ loadings
    return times_power(projected[0], power), times_power(projected[1], power)
