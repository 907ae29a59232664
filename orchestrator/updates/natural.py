"""Optimisers that take the metric of the state into account, and so ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from orchestrator.config.base import Field, ValidationInfo, field_validator, refuse
from orchestrator.groups import Array, Blocks, Group
from orchestrator.process import one_blas_thread
from orchestrator.updates.base import Optimizer, State
from orchestrator.updates.clips import shortened
from orchestrator.updates.context import MetricForm, Needs, StepContext
from orchestrator.updates.optimizers import Adam, Momentum


class Natural(Optimizer):
    """Turns the optimiser that a class extends beside it into one on g⁺∇L in place of ∇L, g the metric."""

    metric: MetricForm = Field(default="block-diagonal", description="entries of the metric that count")
    cutoff: float = Field(
        default=1e-6,
        ge=0.0,
        lt=1.0,
        description="eigenvalues up to this part of the largest one of their block count as 0",
    )

    @property
    def needs(self) -> Needs:
        """The metric, as configured."""
        return Needs(metric=self.metric)

    def update(self, vector: Array, state: State, context: StepContext) -> tuple[Array, State]:
        """The other optimiser's update of the natural gradient."""
        return super().update(self.natural(vector, context), state, context)

    def natural(self, vector: Array, context: StepContext) -> Array:
        """g⁺ vector [R, P], of the gradient or what the chain has made of it."""
        assert context.metric is not None
        cutoff = context.numbers["cutoff"]
        if self.metric == "diagonal":
            return _divided(vector, context.metric, context.groups, cutoff)
        return _solved(vector, context.metric, metric_blocks(self.metric, context.groups), cutoff)


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

    def natural(self, vector: Array, context: StepContext) -> Array:
        """The natural gradient, clipped."""
        whole, numbers, groups = super().natural(vector, context), context.numbers, context.groups
        if not groups:
            return whole
        parts = [shortened(whole[:, group.start : group.stop], numbers["clipnorm"]) for group in groups]
        return shortened(np.concatenate(parts, axis=1), numbers["global_clipnorm"])


def metric_blocks(form: MetricForm, groups: Sequence[Group]) -> Blocks:
    """Where the blocks of the metric start and stop, for a model of these groups.

    Example:
        >>> layers = (Group("layer0", 0, 2, 0), Group("layer1", 2, 3, 1))
        >>> metric_blocks("block-diagonal", layers), metric_blocks("full", layers)
        (((0, 2), (2, 3)), ((0, 3),))
        >>> metric_blocks("diagonal", layers)
        ((0, 1), (1, 2), (2, 3))
    """
    end = groups[-1].stop if groups else 0
    if form == "diagonal":
        return tuple((k, k + 1) for k in range(end))
    if form == "full":
        return ((0, end),) if end else ()
    return tuple((group.start, group.stop) for group in groups if group.start < group.stop)


def _divided(vector: Array, diagonal: Array, groups: Sequence[Group], cutoff: Array) -> Array:
    """vector_k / g_kk, 0 where g_kk is cut off."""
    natural = np.zeros_like(vector)
    for group in groups:
        own = slice(group.start, group.stop)
        metric, gradient = np.ascontiguousarray(diagonal[:, own]), vector[:, own]
        dropped = (metric <= cutoff * metric.max(-1, keepdims=True, initial=0.0)) & np.isfinite(gradient)
        natural[:, own] = np.where(dropped, 0.0, gradient / metric)
    return natural


def _solved(vector: Array, metric: Array, blocks: Blocks, cutoff: Array) -> Array:
    """The blocks' pseudo-inverses on the vector."""
    natural, begin = np.zeros_like(vector), 0
    with one_blas_thread():
        for start, stop in blocks:
            size = stop - start
            matrices = metric[:, begin : begin + size * size].reshape(-1, size, size)
            natural[:, start:stop] = _pseudo(matrices, vector[:, start:stop], cutoff)
            begin += size * size
    return natural


def _pseudo(matrices: Array, vectors: Array, cutoff: Array) -> Array:
    """matrix⁺ vector [R, S], each row by itself; NaN where anything is not finite."""
    finite = np.asarray(np.isfinite(matrices).all((1, 2)) & np.isfinite(vectors).all(1))
    values, axes = _eigen(np.where(finite[:, None, None], matrices, 0.0))
    kept = values > cutoff * np.maximum(values[:, -1:], 0.0)
    along = (np.ascontiguousarray(axes.swapaxes(1, 2)) * vectors[:, None]).sum(-1)
    parts = np.where(kept, along / values, np.where(np.isnan(values), np.nan, 0.0))
    solved = (np.ascontiguousarray(axes) * parts[:, None]).sum(-1)
    return np.where(finite[:, None], solved, np.nan)


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
