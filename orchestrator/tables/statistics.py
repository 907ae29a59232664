"""Gradient statistics of the tables ``steps`` and ``gradients``.

Vectorised over N rows; a row is one trial at one recorded step. Names, units and meanings of the results
are those of :mod:`orchestrator.tables.schema`; undefined values are NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.groups import Array, Group
from orchestrator.tables.rowwise import (
    or_nan,
    row_dot,
    row_mean,
    row_norm,
    row_norm_if_known,
    row_share,
    row_sum,
    share_below,
    share_nonfinite,
)
from orchestrator.tables.schema import BINS, GRADIENTS, LOWEST_EXPONENT

TINY = 64 * float(np.finfo(np.float64).eps)
"""Without shots, components below TINY times the gradient's largest one count as rounding noise."""

_SMALLEST = float(np.finfo(np.float64).smallest_subnormal)
"""A smaller magnitude is zero."""

_QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
_KindStatistics = Callable[[Array], dict[str, Array]]
"""Returns statistics of one kind of group from its magnitudes in ascending order."""

_FLOATS = tuple(column.name for column in GRADIENTS if column.type == "float64")


@dataclass(frozen=True)
class Recorded:
    """N rows to be recorded: sums over each row's whole mini-batch, the clipped gradient and the update.

    Attributes:
        gradient: [N, P] Σ p_i ∂l_i
        clipped: [N, P] the gradient after all clips; None without clips
        update: [N, P] the vector subtracted from the parameters; None in a probe
        parameters: [N, P] before the update
        previous: [N, P] gradient of the previous step, NaN in rows without one; None if no row has one
        square: [N, P] Σ p_i (∂l_i)²; None if the engine has no second moments
        noise: [N, P] Σ p_i² v_i, where v_i is the variance that finite shots add to ∂l_i; None if exact
        noise_first: [N, P] Σ p_i v_i; None if exact
        weight_square: [N] Σ p_i²; None if ``square`` is None
        signal: [N, S] Σ p_i δ_i, where δ_i is dl_i/da, concatenated over the layers; None without signals
        signal_square: [N, S] Σ p_i δ_i²; None if ``signal`` is None
    """

    gradient: Array
    clipped: Array | None
    update: Array | None
    parameters: Array
    previous: Array | None
    square: Array | None
    noise: Array | None
    noise_first: Array | None
    weight_square: Array | None
    signal: Array | None
    signal_square: Array | None


@np.errstate(all="ignore")
def step_statistics(
    recorded: Recorded, dead: NDArray[np.bool_], training_square: float | None
) -> dict[str, Array]:
    """Computes the statistics of whole gradients.

    Args:
        recorded: N rows.
        dead: [P] dead parameters: their gradient is zero by structure, and they are left out.
        training_square: Σ P_i² over the training part, P its weights normalised to 1. None if gradients
            scatter for reasons other than mini-batches and shots; signal_square is then undefined.

    Returns:
        float64 [N] by column of ``steps``: gradient_norm, clipped_norm, clip_scale, update_norm,
        parameter_norm, noise_trace, signal_square, cosine_previous.
    """
    whole = _live_slice(recorded, 0, len(dead), ~dead)
    norm = row_norm(whole.gradient)
    clipped_norm = norm if whole.clipped is None else row_norm(whole.clipped)
    noise_trace = _noise_trace(whole, norm)
    return {
        "gradient_norm": norm,
        "clipped_norm": clipped_norm,
        "clip_scale": clipped_norm / norm,
        "update_norm": row_norm_if_known(whole.update, norm),
        "parameter_norm": row_norm(whole.parameters),
        "noise_trace": noise_trace,
        "signal_square": _signal_square(whole, norm, noise_trace, training_square),
        "cosine_previous": _cosine_previous(whole, norm),
    }


def _noise_trace(whole: Recorded, norm: Array) -> Array:
    """Returns the trace of the covariance of per-sample gradients, [N]; NaN without second moments."""
    variance = _gradient_variance(whole)
    return np.full_like(norm, np.nan) if variance is None else row_sum(variance)


def _signal_square(whole: Recorded, norm: Array, noise_trace: Array, training_square: float | None) -> Array:
    """Estimates the squared norm of the gradient over the whole training part, [N].

    A mini-batch of n of N rows of equal weight, without replacement, adds trace/n - trace/N to the square.
    """
    if training_square is None or whole.weight_square is None:
        return np.full_like(norm, np.nan)
    excess = whole.weight_square - training_square
    added = np.where(excess == 0.0, 0.0, noise_trace * excess)  # 0: the mini-batch is the training part
    shot_noise = 0.0 if whole.noise is None else row_sum(whole.noise)
    return np.asarray(norm * norm - added - shot_noise)


@np.errstate(all="ignore")
def group_statistics(
    recorded: Recorded,
    groups: Sequence[Group],
    signals: Sequence[Group],
    dead: NDArray[np.bool_],
    histogram: bool,
) -> dict[str, NDArray[Any]]:
    """Computes the statistics of each group of parameters and each signal.

    Args:
        recorded: N rows.
        groups: slices of the parameter vector; they may overlap and need not cover it.
        signals: slices of the signal vector.
        dead: [P] dead parameters: their gradient is zero by structure, and they are left out.
        histogram: whether to count log2|g|.

    Returns:
        Arrays [N, G] by column of ``gradients``; G are the groups, then the signals. ``parameters`` is int64,
        ``histogram`` int64 [N, G, 64] if requested, all others are float64. A group without live components
        has 0 parameters, an empty histogram, and NaN elsewhere.
    """
    live = ~dead
    largest = np.max(np.abs(recorded.gradient), axis=-1, initial=0.0, where=live)
    slices = [_live_slice(recorded, group.start, group.stop, live) for group in groups]
    measured: list[tuple[Array, _KindStatistics]] = [
        (part.gradient, partial(_parameter_statistics, part, largest)) for part in slices
    ]
    measured += [_signal_statistics(recorded, group) for group in signals]

    shape = len(recorded.gradient), len(measured)
    sizes = np.array([values.shape[1] for values, _ in measured], np.int64)
    table: dict[str, NDArray[Any]] = {"parameters": np.broadcast_to(sizes, shape).copy()}
    table |= {name: np.full(shape, np.nan) for name in _FLOATS}
    if histogram:
        table["histogram"] = np.zeros((*shape, BINS), np.int64)
    for index in np.flatnonzero(sizes):
        values, kind_statistics = measured[index]
        magnitude = np.abs(values)
        ordered = np.sort(magnitude, axis=-1)
        for name, column in (_distribution(values, magnitude, ordered) | kind_statistics(ordered)).items():
            table[name][:, index] = column
        if histogram:
            table["histogram"][:, index] = _histogram(magnitude)
    return table


def _live_slice(recorded: Recorded, start: int, stop: int, live: NDArray[np.bool_]) -> Recorded:
    """Restricts ``recorded`` to the live components of a slice of the parameter vector."""
    keep = live[start:stop]
    columns = start + np.flatnonzero(keep)
    whole = bool(keep.all())

    def cut(array: Array) -> Array:
        return _slice(array, start, stop) if whole else array.take(columns, axis=1)

    def cut_if_known(array: Array | None) -> Array | None:
        return None if array is None else cut(array)

    return replace(
        recorded,
        gradient=cut(recorded.gradient),
        clipped=cut_if_known(recorded.clipped),
        update=cut_if_known(recorded.update),
        parameters=cut(recorded.parameters),
        previous=cut_if_known(recorded.previous),
        square=cut_if_known(recorded.square),
        noise=cut_if_known(recorded.noise),
        noise_first=cut_if_known(recorded.noise_first),
    )


def _slice(array: Array, start: int, stop: int) -> Array:
    """Returns columns of an array with contiguous rows, as a view if possible.

    Rows must be contiguous because the order of summation follows the memory layout.
    """
    return np.ascontiguousarray(array)[:, start:stop]


def _distribution(values: Array, magnitude: Array, ordered: Array) -> dict[str, Array]:
    """Returns moments, extremes and quantiles of each row's components [N, n].

    Args:
        values: the components.
        magnitude: their magnitudes.
        ordered: their magnitudes in ascending order, NaN last.
    """
    mean = row_mean(values)
    return {
        "mean": mean,
        "std": np.sqrt(row_mean(np.square(values - mean[:, None]))),
        "min": values.min(-1),
        "max": values.max(-1),
        "l1": row_sum(magnitude),
        "l2": row_norm(values),
        "linf": ordered[:, -1],
        "fraction_zero": share_below(ordered, _SMALLEST),
        "fraction_nonfinite": share_nonfinite(ordered),
    } | _quantiles(ordered)


def _quantiles(ordered: Array) -> dict[str, Array]:
    """Returns quantiles of ascending rows (NaN last), interpolated linearly; NaN in a row with a NaN."""
    position = np.array(list(_QUANTILES.values())) * (ordered.shape[1] - 1)
    below = ordered.take(np.floor(position).astype(int), axis=1)
    above = ordered.take(np.ceil(position).astype(int), axis=1)
    # Equal neighbours need no interpolation, and infinite ones must not be subtracted.
    rise = np.where(above > below, (above - below) * (position % 1.0), 0.0)
    result = np.where(np.isnan(ordered[:, -1:]), np.nan, below + rise)
    return dict(zip(_QUANTILES, result.T, strict=True))


def _parameter_statistics(part: Recorded, largest: Array, ordered: Array) -> dict[str, Array]:
    """Returns the statistics that only groups of parameters have.

    Args:
        part: rows restricted to the group's live components.
        largest: [N] max|g| over the whole gradient.
        ordered: [N, n] magnitudes of the group's gradient in ascending order.
    """
    gradient = part.gradient
    norm = row_norm(gradient)
    return {
        **_clip_statistics(part, norm),
        **_shot_statistics(part, norm, largest, ordered),
        **_sample_variance(_gradient_variance(part)),
        "update_l2": row_norm_if_known(part.update, norm),
        "parameter_l2": row_norm(part.parameters),
        "cosine_previous": _cosine_previous(part, norm),
    }


def _clip_statistics(part: Recorded, norm: Array) -> dict[str, Array]:
    if part.clipped is None:
        return {"fraction_clipped": np.zeros_like(norm), "clipped_l2": norm}
    changed = (part.clipped != part.gradient) & ~(np.isnan(part.clipped) & np.isnan(part.gradient))
    return {"fraction_clipped": row_share(changed), "clipped_l2": row_norm(part.clipped)}


def _shot_statistics(part: Recorded, norm: Array, largest: Array, ordered: Array) -> dict[str, Array]:
    if part.noise is None:
        limit = TINY * largest
        tiny = np.where(np.isfinite(limit), share_below(ordered, limit[:, None]), np.nan)
        return {"fraction_tiny": tiny}
    # An estimated variance may be negative. If no shot saw an event, gradient and noise are both 0.
    noise, limit = row_sum(part.noise), np.sqrt(np.maximum(0.0, part.noise))
    tiny = row_share(np.abs(part.gradient) <= limit)
    return {
        "fraction_tiny": np.where(np.isfinite(limit).all(-1), tiny, np.nan),
        "shot_variance": noise / part.noise.shape[1],
        "snr": np.sqrt(np.maximum(0.0, norm * norm - noise) / or_nan(noise)),
    }


def _signal_statistics(recorded: Recorded, group: Group) -> tuple[Array, _KindStatistics]:
    """Returns the root mean square of a layer's units over the mini-batch [N, n], and further statistics."""
    assert recorded.signal is not None and recorded.signal_square is not None
    mean = _slice(recorded.signal, group.start, group.stop)
    square = _slice(recorded.signal_square, group.start, group.stop)
    variance = _variance(square - mean * mean, recorded.weight_square)
    return np.sqrt(square), lambda _: _sample_variance(variance)


def _gradient_variance(part: Recorded) -> Array | None:
    """Returns the variance of per-sample gradients, [N, n]; shot noise or rounding may make it negative.

    Shots add Σp_i v_i to the mean square, and Σp_i² v_i to the square of the gradient.
    """
    if part.square is None:
        return None
    spread = part.square - part.gradient * part.gradient
    if part.noise is not None and part.noise_first is not None:
        spread -= part.noise_first - part.noise
    return _variance(spread, part.weight_square)


def _sample_variance(variance: Array | None) -> dict[str, Array]:
    """Returns the mean over components of variances [N, n], each at least 0."""
    return {} if variance is None else {"sample_variance": row_mean(np.maximum(0.0, variance))}


def _variance(spread: Array, weight_square: Array | None) -> Array | None:
    """Returns the unbiased variance of per-sample values x_i from their spread, [N, n].

    E[Σp_i x_i² − (Σp_i x_i)²] = (1 − Σp_i²)·Var(x) for independent x_i.
    """
    return None if weight_square is None else spread / or_nan(1.0 - weight_square)[:, None]


def _cosine_previous(part: Recorded, norm: Array) -> Array:
    if part.previous is None:
        return np.full(len(norm), np.nan)
    cosine = row_dot(part.gradient, part.previous) / or_nan(norm) / or_nan(row_norm(part.previous))
    return np.clip(cosine, -1.0, 1.0)


def _histogram(magnitude: Array) -> NDArray[np.int64]:
    """Returns counts [N, BINS] of log2 of the magnitudes [N, n], in the bins of the schema."""
    exponent = np.frexp(magnitude)[1] - 1  # exactly floor(log2); log2 itself would round
    index = np.clip(exponent - LOWEST_EXPONENT, 0, BINS - 1)
    counted = (magnitude > 0.0) & (magnitude < np.inf)
    rows = len(magnitude)
    index = np.where(counted, index, BINS) + (BINS + 1) * np.arange(rows)[:, None]
    counts = np.bincount(index.ravel(), minlength=(BINS + 1) * rows)
    return counts.reshape(rows, BINS + 1)[:, :BINS]
