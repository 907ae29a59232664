"""What the gradients did: the statistics behind the tables ``steps`` and ``gradients``.

Vectorised over N rows (a row: one trial at one recorded step). Names, units and meanings of all results
are those of :mod:`orchestrator.traces.schema`; what is undefined is NaN here. Inside, rows are the last
axis: groups are short, rows are many. What each component adds to the sums is computed for all components
at once, then added up group by group, in halves: additions of whole rows of numbers, in an order that NumPy
has no say in, so that a row's bits do not depend on the rows beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.models.base import Group
from orchestrator.traces.schema import BINS, GRADIENTS, LOWEST_EXPONENT

Array = NDArray[np.float64]

TINY = 64 * float(np.finfo(np.float64).eps)
"""Without shots, a component below TINY times the gradient's largest is taken for rounding noise."""

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
def statistics(
    recorded: Recorded,
    groups: Sequence[Group],
    signals: Sequence[Group],
    dead: NDArray[np.bool_],
    histogram: bool,
) -> tuple[dict[str, Array], dict[str, NDArray[Any]]]:
    """Statistics of whole gradients, and of each group of parameters and each signal.

    Args:
        recorded: N rows.
        groups: slices of the parameter vector; they may overlap and need not cover it.
        signals: slices of the signal vector.
        dead: [P] parameters whose gradient is zero by structure; they are left out.
        histogram: whether to count log2|g| as well.

    Returns:
        float64 [N] by column of ``steps``: gradient_norm, clipped_norm, clip_scale, update_norm,
        parameter_norm, noise_trace, signal_square, cosine_previous.

        Arrays [N, G] by column of ``gradients``, G being the groups and then the signals: ``parameters``
        int64, ``histogram`` int64 [N, G, 64] if asked for, all others float64. A group without live
        components has 0 parameters, an empty histogram, and NaN elsewhere.
    """
    whole, place = _terms_of_parameters(recorded, ~dead), np.cumsum([0, *~dead])
    parts = [whole.cut(place[group.start], place[group.stop]) for group in groups]
    if signals:
        units = _terms_of_signals(recorded)
        parts += [units.cut(group.start, group.stop) for group in signals]
    return _of_step(whole.sums(), recorded.weight_square), _of_groups(
        parts, len(recorded.gradient), histogram
    )


@dataclass(frozen=True)
class _Terms:
    """What n components add to sums over groups of them.

    Attributes:
        values: [n, N] the components.
        names: of T sums.
        stack: [T, n, N] what each adds.
    """

    values: Array
    names: tuple[str, ...]
    stack: Array

    @classmethod
    def of(cls, values: Array, variance: Array, **others: Array | float) -> _Terms:
        """With the terms that parameters and signals have in common; ``others`` may be one number for all."""
        terms: dict[str, Array | float] = {
            "value": values,
            "magnitude": np.abs(values),
            "square": values * values,
            "zero": values == 0.0,
            "nonfinite": ~np.isfinite(values),
            "variance": variance,
            **others,
        }
        stack = np.empty((len(terms), *values.shape))
        for place, term in enumerate(terms.values()):
            stack[place] = term
        return cls(stack[0], tuple(terms), stack)

    def cut(self, start: int, stop: int) -> _Terms:
        """Those of some components."""
        return _Terms(self.values[start:stop], self.names, self.stack[:, start:stop])

    def sums(self) -> dict[str, Array]:
        """[N] by name."""
        return dict(zip(self.names, _sum(self.stack), strict=True))


def _sum(terms: Array) -> Array:
    """Σ over components, [..., n, N] to [..., N]: one half is added to the other until one is left."""
    if not terms.shape[-2]:
        return np.zeros((*terms.shape[:-2], terms.shape[-1]))
    while (size := terms.shape[-2]) > 1:
        half = size // 2
        folded = terms[..., :half, :] + terms[..., half : 2 * half, :]
        if size % 2:
            folded[..., 0, :] += terms[..., -1, :]
        terms = folded
    return terms[..., 0, :]


def _terms_of_parameters(recorded: Recorded, live: NDArray[np.bool_]) -> _Terms:
    """The components are those of the gradient, but for the dead ones."""

    def turned(array: Array | None) -> Array:
        return _turned(array) if array is None or live.all() else _turned(array[:, live])

    gradient, clipped, parameters = map(turned, (recorded.gradient, recorded.clipped, recorded.parameters))
    magnitude = np.abs(gradient)
    noise: Array | float = 0.0
    noise_first: Array | float = 0.0
    if recorded.exact:
        limit = TINY * np.max(magnitude, axis=0, initial=0.0)
    else:
        noise, noise_first = turned(recorded.noise), turned(recorded.noise_first)
        limit = np.sqrt(noise)
    update, previous = turned(recorded.update), turned(recorded.previous)
    return _Terms.of(
        gradient,
        _variance(gradient, turned(recorded.square), recorded.weight_square, noise_first),
        noise=noise,
        tiny=np.where(np.isfinite(limit), magnitude < limit, np.nan),
        changed=(clipped != gradient) & ~(np.isnan(clipped) & np.isnan(gradient)),
        clipped=clipped * clipped,
        update=update * update,
        parameter=parameters * parameters,
        previous=previous * previous,
        product=gradient * previous,
    )


def _terms_of_signals(recorded: Recorded) -> _Terms:
    """The components are the root mean squares of the units over the mini-batch."""
    square = _turned(recorded.signal_square)
    return _Terms.of(
        np.sqrt(square), _variance(_turned(recorded.signal), square, recorded.weight_square, 0.0)
    )


def _turned(array: Array | None) -> Array:
    """[N, n] as [n, N]; NaN for what is not known."""
    return np.full((1, 1), np.nan) if array is None else np.ascontiguousarray(array.T)


def _of_step(sums: dict[str, Array], weight_square: Array) -> dict[str, Array]:
    norm, clipped_norm = np.sqrt(sums["square"]), np.sqrt(sums["clipped"])
    return {
        "gradient_norm": norm,
        "clipped_norm": clipped_norm,
        "clip_scale": clipped_norm / norm,
        "update_norm": np.sqrt(sums["update"]),
        "parameter_norm": np.sqrt(sums["parameter"]),
        "noise_trace": sums["variance"],
        "signal_square": norm * norm - sums["variance"] * weight_square - sums["noise"],
        "cosine_previous": _cosine_previous(sums),
    }


def _of_groups(parts: Sequence[_Terms], rows: int, histogram: bool) -> dict[str, NDArray[Any]]:
    shape, sizes = (rows, len(parts)), [len(part.values) for part in parts]
    table: dict[str, NDArray[Any]] = {"parameters": np.tile(np.array(sizes, np.int64), (rows, 1))}
    table |= {name: np.full(shape, np.nan) for name in _FLOATS}
    if histogram:
        table["histogram"] = np.zeros((*shape, BINS), np.int64)
    for place, (part, size) in enumerate(zip(parts, sizes, strict=True)):
        if not size:
            continue
        magnitude, sums = np.ascontiguousarray(np.abs(part.values).T), part.sums()
        columns = _distribution(part.values, magnitude, sums)
        if "clipped" in sums:
            columns |= _of_parameters(sums, size)
        for name, column in columns.items():
            table[name][:, place] = column
        if histogram:
            table["histogram"][:, place] = _histogram(magnitude)
    return table


def _distribution(values: Array, magnitude: Array, sums: dict[str, Array]) -> dict[str, Array]:
    """How the components [n, N] are distributed; their magnitudes as [N, n]."""
    size, ordered = len(values), np.sort(magnitude, axis=-1).T
    mean = sums["value"] / size
    return {
        "mean": mean,
        "std": np.sqrt(_sum(np.square(values - mean)) / size),
        "min": values.min(0),
        "max": values.max(0),
        "l1": sums["magnitude"],
        "l2": np.sqrt(sums["square"]),
        "linf": ordered[-1],
        "fraction_zero": sums["zero"] / size,
        "fraction_nonfinite": sums["nonfinite"] / size,
        "sample_variance": sums["variance"] / size,
    } | _quantiles(ordered)


def _quantiles(ordered: Array) -> dict[str, Array]:
    """Quantiles of [n, N] in ascending order (NaN last), interpolated linearly; NaN beside a NaN."""
    known = ~np.isnan(ordered[-1])
    result = {}
    for name, share in _QUANTILES.items():
        position = share * (len(ordered) - 1)
        below, above = ordered[math.floor(position)], ordered[math.ceil(position)]
        # Equal neighbours need no interpolation, and infinite ones must not be subtracted.
        rise = np.where(above > below, (above - below) * (position % 1.0), 0.0)
        result[name] = np.where(known, below + rise, np.nan)
    return result


def _of_parameters(sums: dict[str, Array], size: int) -> dict[str, Array]:
    """What only groups of parameters have."""
    norm, noise = np.sqrt(sums["square"]), sums["noise"]
    return {
        "fraction_tiny": sums["tiny"] / size,
        "fraction_clipped": sums["changed"] / size,
        "clipped_l2": np.sqrt(sums["clipped"]),
        "shot_variance": noise / size,
        "snr": np.sqrt(np.maximum(0.0, norm * norm - noise) / _or_nan(noise)),
        "update_l2": np.sqrt(sums["update"]),
        "parameter_l2": np.sqrt(sums["parameter"]),
        "cosine_previous": _cosine_previous(sums),
    }


def _variance(mean: Array, square: Array, weight_square: Array, shot_noise: Array | float) -> Array:
    """Variance of per-sample values x_i, estimated without bias from Σp_i x_i and Σp_i x_i², [n, N].

    E[Σp_i x_i² − (Σp_i x_i)²] = (1 − Σp_i²)·Var(x) for independent x_i; what shots add is taken off.
    """
    return np.maximum(0.0, (square - mean * mean) / _or_nan(1.0 - weight_square) - shot_noise)


def _cosine_previous(sums: dict[str, Array]) -> Array:
    norm, before = np.sqrt(sums["square"]), np.sqrt(sums["previous"])
    return np.clip(sums["product"] / _or_nan(norm) / _or_nan(before), -1.0, 1.0)


def _histogram(magnitude: Array) -> NDArray[np.int64]:
    """Counts [N, BINS] of log2 of the components [N, n], after the bins of the schema."""
    exponent = np.frexp(magnitude)[1] - 1  # exactly floor(log2), which log2 itself would round
    place = np.clip(exponent - LOWEST_EXPONENT, 0, BINS - 1)
    counted = (magnitude > 0.0) & (magnitude < np.inf)
    rows = len(magnitude)
    place = np.where(counted, place, BINS) + (BINS + 1) * np.arange(rows)[:, None]
    counts = np.bincount(place.ravel(), minlength=(BINS + 1) * rows)
    return counts.reshape(rows, BINS + 1)[:, :BINS]


def _or_nan(divisor: Array) -> Array:
    return np.where(divisor > 0.0, divisor, np.nan)
