"""Optimisers that take the metric of the state into account, and so ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from orchestrator.config import Field, ValidationInfo, field_validator, refuse
from orchestrator.groups import Array
from orchestrator.process import one_blas_thread
from orchestrator.updates.base import Form, Optimizer, Spans
from orchestrator.updates.clips import shortened
from orchestrator.updates.optimizers import Adam, Momentum


class Natural(Optimizer):
    """An optimiser that is given the natural gradient g⁺∇L in place of ∇L, g the metric of the state."""

    metric: Form = Field(default="block-diagonal", description="entries of the metric that count")
    cutoff: float = Field(
        default=1e-6,
        ge=0.0,
        lt=1.0,
        description="eigenvalues up to this part of the largest one of their block count as 0",
    )

    @property
    def needs_metric(self) -> Form:
        """As configured."""
        return self.metric

    def direction(self, vector: Array, metric: Array, groups: Spans, numbers: Mapping[str, Array]) -> Array:
        """The natural gradient.

        Args:
            vector: [R, P] the gradient, or what the chain has made of it.
            metric: [R, W] the blocks that ``metric_blocks`` names, one behind the other.
            groups: where the model's groups start and stop.
            numbers: [R, 1] each hyper-parameter, one per trial.
        """
        if self.metric == "diagonal":
            return _divided(vector, metric, groups, numbers["cutoff"])
        return _solved(vector, metric, metric_blocks(self.metric, groups), numbers["cutoff"])


class Qng(Natural, Momentum):
    """Quantum natural gradient (Stokes et al. 2020, arXiv 1909.02108): Δ = η g⁺∇L.

    With a momentum ρ, Momentum-QNG (arXiv 2409.01978): v = ρ v + g⁺∇L, Δ = η v. State: ``velocity``, v.
    """

    optimizer: Literal["qng"]  # type: ignore[assignment]
    momentum: float = Field(default=0.0, ge=0.0, lt=1.0, description="ρ")


class QuantumAdam(Natural, Adam):
    """Adam on the natural gradient, which may be clipped first, as Keras clips gradients."""

    optimizer: Literal["quantum-adam"]  # type: ignore[assignment]
    clipnorm: float | None = Field(
        default=None, gt=0.0, description="largest Euclidean norm of a group of the natural gradient"
    )
    global_clipnorm: float | None = Field(
        default=None, gt=0.0, description="largest Euclidean norm of the natural gradient"
    )

    @field_validator("global_clipnorm")
    @classmethod
    def _one_clip(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("clipnorm") is not None:
            raise refuse("must be left out beside clipnorm; give one of them")
        return value

    def direction(self, vector: Array, metric: Array, groups: Spans, numbers: Mapping[str, Array]) -> Array:
        """The natural gradient, clipped."""
        direction = super().direction(vector, metric, groups, numbers)
        parts = [shortened(direction[:, start:stop], numbers["clipnorm"]) for start, stop in groups]
        return shortened(np.concatenate(parts, axis=1), numbers["global_clipnorm"]) if parts else direction


def metric_blocks(form: Form, groups: Spans) -> Spans:
    """Where the blocks of the metric start and stop, for a model whose groups do so at ``groups``.

    Example:
        >>> metric_blocks("full", ((0, 2), (2, 3))), metric_blocks("diagonal", ((0, 2), (2, 3)))
        (((0, 3),), ((0, 1), (1, 2), (2, 3)))
    """
    end = groups[-1][1] if groups else 0
    if form == "diagonal":
        return tuple((k, k + 1) for k in range(end))
    whole = ((0, end),) if form == "full" else groups
    return tuple((start, stop) for start, stop in whole if start < stop)


def _divided(vector: Array, diagonal: Array, groups: Spans, cutoff: Array) -> Array:
    """vector_k / g_kk, 0 where g_kk is cut off."""
    direction = np.zeros_like(vector)
    for start, stop in groups:
        part = np.ascontiguousarray(diagonal[:, start:stop])
        given = vector[:, start:stop]
        dropped = (part <= cutoff * part.max(-1, keepdims=True, initial=0.0)) & np.isfinite(given)
        direction[:, start:stop] = np.where(dropped, 0.0, given / part)
    return direction


def _solved(vector: Array, metric: Array, blocks: Spans, cutoff: Array) -> Array:
    """The blocks' pseudo-inverses on the vector."""
    direction, begin = np.zeros_like(vector), 0
    with one_blas_thread():
        for start, stop in blocks:
            size = stop - start
            matrices = metric[:, begin : begin + size * size].reshape(-1, size, size)
            direction[:, start:stop] = _pseudo(matrices, vector[:, start:stop], cutoff)
            begin += size * size
    return direction


def _pseudo(matrices: Array, vectors: Array, cutoff: Array) -> Array:
    """matrix⁺ vector [R, S], each row by itself; NaN where anything is not finite."""
    finite = np.asarray(np.isfinite(matrices).all((1, 2)) & np.isfinite(vectors).all(1))
    values, axes = _eigen(np.where(finite[:, None, None], matrices, 0.0))
    kept = values > cutoff * np.maximum(values[:, -1:], 0.0)
    along = (np.ascontiguousarray(axes.swapaxes(1, 2)) * vectors[:, None]).sum(-1)
    parts = np.where(kept, along / values, np.where(np.isnan(values), np.nan, 0.0))
    directions = (np.ascontiguousarray(axes) * parts[:, None]).sum(-1)
    return np.where(finite[:, None], directions, np.nan)


def _eigen(matrices: Array) -> tuple[Array, Array]:
    """Eigenvalues [R, S], rising, and vectors [R, S, S], in columns; NaN for a matrix that has none found."""
    try:
        values, axes = np.linalg.eigh(matrices)
    except np.linalg.LinAlgError:
        if len(matrices) == 1:
            return np.full(matrices.shape[:2], np.nan), np.full(matrices.shape, np.nan)
        parts = [_eigen(matrix[None]) for matrix in matrices]
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    return values, axes
