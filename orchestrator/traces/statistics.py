"""What the gradients did: the statistics behind the tables ``steps`` and ``gradients``.

Vectorised over N rows (a row: one trial at one recorded step). Names, units and meanings of all results
are those of :mod:`orchestrator.traces.schema`; what is undefined is NaN here. Every sum is a dot product of
one row along the contiguous last axis, so that its bits do not depend on the rows beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.models.base import Group
from orchestrator.traces.schema import BINS, GRADIENTS, LOWEST_EXPONENT

Array = NDArray[np.float64]

TINY = 64 * float(np.finfo(np.float64).eps)
"""Without shots, a component below TINY times the gradient's largest is taken for rounding noise."""

_LONGEST = 1 << 13
"""Of the dot products that one thread computes, however many BLAS has."""

_QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
_FLOATS = tuple(column.name for column in GRADIENTS if column.type == "float64")


@dataclass(frozen=True)
class Recorded:
    """N rows to be recorded: sums over each row's whole mini-batch, and what became of the gradient.

    Attributes:
        gradient: [N, P] Σ p_i ∂l_i
        clipped: [N, P] the gradient after all clips
        update: [N, P] what was subtracted from the parameters; None in a probe
        parameters: [N, P] before the update
        previous: [N, P] gradient of the step before, NaN in rows that have none; None if no row has one
        square: [N, P] Σ p_i (∂l_i)²
        noise: [N, P] Σ p_i² v_i, where v_i is the variance that finite shots add to ∂l_i
        noise_first: [N, P] Σ p_i v_i
        weight_square: [N] Σ p_i²
        signal: [N, S] Σ p_i δ_i, where δ_i is dl_i/da of every layer, side by side
        signal_square: [N, S] Σ p_i δ_i²
        exact: whether no shots were taken, so that ``noise`` and ``noise_first`` are 0
    """

    gradient: Array
    clipped: Array
    update: Array | None
    parameters: Array
    previous: Array | None
    square: Array
    noise: Array
    noise_first: Array
    weight_square: Array
    signal: Array
    signal_square: Array
    exact: bool


@np.errstate(all="ignore")
def step_statistics(recorded: Recorded, dead: NDArray[np.bool_]) -> dict[str, Array]:
    """Statistics of whole gradients.

    Args:
        recorded: N rows.
        dead: [P] parameters whose gradient is zero by structure; they are left out.

    Returns:
        float64 [N] by column of ``steps``: gradient_norm, clipped_norm, clip_scale, update_norm,
        parameter_norm, noise_trace, signal_square, cosine_previous.
    """
    whole = _part(recorded, 0, len(dead), ~dead)
    norm, clipped_norm = _norm(whole.gradient), _norm(whole.clipped)
    noise_trace = _sum(_variance(whole.gradient, whole.square, whole.weight_square, whole.noise_first))
    return {
        "gradient_norm": norm,
        "clipped_norm": clipped_norm,
        "clip_scale": clipped_norm / norm,
        "update_norm": _norm_if_known(whole.update, norm),
        "parameter_norm": _norm(whole.parameters),
        "noise_trace": noise_trace,
        "signal_square": norm * norm - noise_trace * recorded.weight_square - _sum(whole.noise),
        "cosine_previous": _cosine_previous(whole, norm),
    }


@np.errstate(all="ignore")
def group_statistics(
    recorded: Recorded,
    groups: Sequence[Group],
    signals: Sequence[Group],
    dead: NDArray[np.bool_],
    histogram: bool,
) -> dict[str, NDArray[Any]]:
    """Statistics of each group of parameters and each signal.

    Args:
        recorded: N rows.
        groups: slices of the parameter vector; they may overlap and need not cover it.
        signals: slices of the signal vector.
        dead: [P] parameters whose gradient is zero by structure; they are left out.
        histogram: whether to count log2|g| as well.

    Returns:
        Arrays [N, G] by column of ``gradients``, G being the groups and then the signals: ``parameters``
        int64, ``histogram`` int64 [N, G, 64] if asked for, all others float64. A group without live
        components has 0 parameters, an empty histogram, and NaN elsewhere.
    """
    live = ~dead
    largest = np.max(np.abs(recorded.gradient), axis=-1, initial=0.0, where=live)
    parts = [_part(recorded, group.start, group.stop, live) for group in groups]
    measured = [(part.gradient, _of_parameters(part, largest)) for part in parts]
    measured += [_of_signal(recorded, group) for group in signals]

    shape = len(recorded.gradient), len(measured)
    sizes = np.array([values.shape[1] for values, _ in measured], np.int64)
    table: dict[str, NDArray[Any]] = {"parameters": np.broadcast_to(sizes, shape).copy()}
    table |= {name: np.full(shape, np.nan) for name in _FLOATS}
    if histogram:
        table["histogram"] = np.zeros((*shape, BINS), np.int64)
    for place in np.flatnonzero(sizes):
        values, special = measured[place]
        for name, column in (_distribution(values) | special).items():
            table[name][:, place] = column
        if histogram:
            table["histogram"][:, place] = _histogram(np.abs(values))
    return table


def _part(recorded: Recorded, start: int, stop: int, live: NDArray[np.bool_]) -> Recorded:
    """The live components of a slice of the parameter vector."""
    keep = live[start:stop]
    columns = start + np.flatnonzero(keep)
    whole = bool(keep.all())

    def cut(array: Array) -> Array:
        return _slice(array, start, stop) if whole else array.take(columns, axis=1)

    return replace(
        recorded,
        gradient=cut(recorded.gradient),
        clipped=cut(recorded.clipped),
        update=None if recorded.update is None else cut(recorded.update),
        parameters=cut(recorded.parameters),
        previous=None if recorded.previous is None else cut(recorded.previous),
        square=cut(recorded.square),
        noise=cut(recorded.noise),
        noise_first=cut(recorded.noise_first),
    )


def _slice(array: Array, start: int, stop: int) -> Array:
    """Columns of an array, each row contiguous: a view if it can be (sums follow the order of memory)."""
    return np.ascontiguousarray(array)[:, start:stop]


def _distribution(values: Array) -> dict[str, Array]:
    """How the components [N, n] of each row are distributed."""
    magnitude = np.abs(values)
    ordered = np.sort(magnitude, axis=-1)
    mean = _mean(values)
    return {
        "mean": mean,
        "std": np.sqrt(_mean(np.square(values - mean[:, None]))),
        "min": values.min(-1),
        "max": values.max(-1),
        "l1": _sum(magnitude),
        "l2": _norm(values),
        "linf": ordered[:, -1],
        "fraction_zero": _share(values == 0.0),
        "fraction_nonfinite": _share(~np.isfinite(values)),
    } | _quantiles(ordered)


def _quantiles(ordered: Array) -> dict[str, Array]:
    """Quantiles of rows in ascending order (NaN last), interpolated linearly; NaN in a row with a NaN."""
    known = ~np.isnan(ordered[:, -1])
    result = {}
    for name, share in _QUANTILES.items():
        position = share * (ordered.shape[1] - 1)
        below, above = ordered[:, math.floor(position)], ordered[:, math.ceil(position)]
        # Equal neighbours need no interpolation, and infinite ones must not be subtracted.
        rise = np.where(above > below, (above - below) * (position % 1.0), 0.0)
        result[name] = np.where(known, below + rise, np.nan)
    return result


def _of_parameters(part: Recorded, largest: Array) -> dict[str, Array]:
    """What only groups of parameters have; ``largest`` [N] is max|g| over the whole gradient."""
    gradient, noise = part.gradient, _sum(part.noise)
    norm = _norm(gradient)
    limit = TINY * largest[:, None] if part.exact else np.sqrt(part.noise)
    tiny = _share(np.abs(gradient) < limit)
    variance = _variance(gradient, part.square, part.weight_square, part.noise_first)
    changed = (part.clipped != gradient) & ~(np.isnan(part.clipped) & np.isnan(gradient))
    return {
        "fraction_tiny": np.where(np.isfinite(limit).all(-1), tiny, np.nan),
        "fraction_clipped": _share(changed),
        "clipped_l2": _norm(part.clipped),
        "sample_variance": _mean(variance),
        "shot_variance": noise / gradient.shape[1],
        "snr": np.sqrt(np.maximum(0.0, norm * norm - noise) / _or_nan(noise)),
        "update_l2": _norm_if_known(part.update, norm),
        "parameter_l2": _norm(part.parameters),
        "cosine_previous": _cosine_previous(part, norm),
    }


def _of_signal(recorded: Recorded, group: Group) -> tuple[Array, dict[str, Array]]:
    """The root mean square of a layer's units over the mini-batch [N, n], and what else signals have."""
    mean = _slice(recorded.signal, group.start, group.stop)
    square = _slice(recorded.signal_square, group.start, group.stop)
    variance = _variance(mean, square, recorded.weight_square, np.zeros(1))
    return np.sqrt(square), {"sample_variance": _mean(variance)}


def _variance(mean: Array, square: Array, weight_square: Array, shot_noise: Array) -> Array:
    """Variance of per-sample values x_i, estimated without bias from Σp_i x_i and Σp_i x_i², [N, n].

    E[Σp_i x_i² − (Σp_i x_i)²] = (1 − Σp_i²)·Var(x) for independent x_i; what shots add is taken off.
    """
    rest = _or_nan(1.0 - weight_square)[:, None]
    return np.maximum(0.0, (square - mean * mean) / rest - shot_noise)


def _cosine_previous(part: Recorded, norm: Array) -> Array:
    if part.previous is None:
        return np.full(len(norm), np.nan)
    cosine = _dot(part.gradient, part.previous) / _or_nan(norm) / _or_nan(_norm(part.previous))
    return np.clip(cosine, -1.0, 1.0)


def _histogram(magnitude: Array) -> NDArray[np.int64]:
    """Counts [N, BINS] of log2 of the components [N, n], after the bins of the schema."""
    exponent = np.frexp(magnitude)[1] - 1  # exactly floor(log2), which log2 itself would round
    place = np.clip(exponent - LOWEST_EXPONENT, 0, BINS - 1)
    counted = (magnitude > 0.0) & (magnitude < np.inf)
    rows = len(magnitude)
    place = np.where(counted, place, BINS) + (BINS + 1) * np.arange(rows)[:, None]
    counts = np.bincount(place.ravel(), minlength=(BINS + 1) * rows)
    return counts.reshape(rows, BINS + 1)[:, :BINS]


def _dot(left: Array, right: Array) -> Array:
    """Σ_k left_k right_k of each row, [N]."""
    if left.shape[1] > _LONGEST:
        return np.asarray((left * right).sum(-1))
    return np.vecdot(left, right)


def _sum(values: Array) -> Array:
    long = values.shape[1] > _LONGEST
    return np.asarray(values.sum(-1)) if long else np.vecdot(values, np.ones((1, values.shape[1])))


def _norm(values: Array) -> Array:
    return np.sqrt(_dot(values, values))


def _norm_if_known(values: Array | None, like: Array) -> Array:
    return np.full_like(like, np.nan) if values is None else _norm(values)


def _mean(values: Array) -> Array:
    return _sum(values) / values.shape[1]


def _share(mask: NDArray[np.bool_]) -> Array:
    return np.count_nonzero(mask, axis=-1) / mask.shape[1]


def _or_nan(divisor: Array) -> Array:
    return np.where(divisor > 0.0, divisor, np.nan)
