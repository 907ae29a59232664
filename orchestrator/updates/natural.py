"""Optimisers on the natural gradient: the metric of the circuit's state is the preconditioner."""

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
    """A mixin: the optimiser that follows in the bases gets g⁺∇L instead of ∇L, where g is the metric.

    g is the Fubini–Study metric of the circuit's state; g⁺ is its pseudo-inverse.
    """

    metric: MetricForm = Field(default="block-diagonal", description="entries of the metric that are used")
    cutoff: float = Field(
        default=1e-6,
        ge=0.0,
        lt=1.0,
        description="eigenvalues up to this fraction of the largest one in their block count as 0",
    )

    @property
    def needs(self) -> Needs:
        """The metric, in the configured form."""
        return Needs(metric=self.metric)

    def update(self, vector: Array, state: State, context: StepContext) -> tuple[Array, State]:
        """Applies the next base's update to the natural gradient."""
        return super().update(self.natural(vector, context), state, context)

    def natural(self, vector: Array, context: StepContext) -> Array:
        """Returns g⁺ vector, [R, P]; ``vector`` is the gradient, or the output of the previous update."""
        assert context.metric is not None
        cutoff = context.numbers["cutoff"]
        if self.metric == "diagonal":
            return _solve_diagonal(vector, context.metric, context.groups, cutoff)
        return _solve_blocks(vector, context.metric, metric_blocks(self.metric, context.groups), cutoff)


class Qng(Natural, Momentum):
    """Quantum natural gradient (Stokes et al. 2020, arXiv 1909.02108): Δ = η g⁺∇L.

    With a momentum ρ, Momentum-QNG (arXiv 2409.01978): v = ρ v + g⁺∇L, Δ = η v. State: ``velocity``, v.
    """

    optimizer: Literal["qng"]  # type: ignore[assignment]
    momentum: float = Field(default=0.0, ge=0.0, lt=1.0, description="ρ")


class QuantumAdam(Natural, Adam):
    """Adam on the natural gradient, which is optionally clipped first, as Keras clips gradients."""

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
            raise refuse("must be left out if clipnorm is set; set one of them")
        return value

    def natural(self, vector: Array, context: StepContext) -> Array:
        """Returns the natural gradient, clipped per group or as a whole."""
        whole, numbers, groups = super().natural(vector, context), context.numbers, context.groups
        if not groups:
            return whole
        clipped = [shortened(whole[:, group.start : group.stop], numbers["clipnorm"]) for group in groups]
        return shortened(np.concatenate(clipped, axis=1), numbers["global_clipnorm"])


def metric_blocks(form: MetricForm, groups: Sequence[Group]) -> Blocks:
    """Returns where the blocks of the metric start and stop, for a model with these groups.

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


def _solve_diagonal(vector: Array, diagonal: Array, groups: Sequence[Group], cutoff: Array) -> Array:
    """Returns vector_k / g_kk; 0 where g_kk is at most ``cutoff`` times its group's largest."""
    natural = np.zeros_like(vector)
    for group in groups:
        span = slice(group.start, group.stop)
        metric, gradient = np.ascontiguousarray(diagonal[:, span]), vector[:, span]
        dropped = (metric <= cutoff * metric.max(-1, keepdims=True, initial=0.0)) & np.isfinite(gradient)
        natural[:, span] = np.where(dropped, 0.0, gradient / metric)
    return natural


def _solve_blocks(vector: Array, metric: Array, blocks: Blocks, cutoff: Array) -> Array:
    """Applies each block's pseudo-inverse to its slice of the vector."""
    natural, begin = np.zeros_like(vector), 0
    with one_blas_thread():
        for start, stop in blocks:
            size = stop - start
            matrices = metric[:, begin : begin + size * size].reshape(-1, size, size)
            natural[:, start:stop] = _pseudo_solve(matrices, vector[:, start:stop], cutoff)
            begin += size * size
    return natural


def _pseudo_solve(matrices: Array, vectors: Array, cutoff: Array) -> Array:
    """Returns matrix⁺ vector, [R, S], row by row; NaN in a row with anything that is not finite."""
    finite = np.asarray(np.isfinite(matrices).all((1, 2)) & np.isfinite(vectors).all(1))
    values, axes = _eigh(np.where(finite[:, None, None], matrices, 0.0))
    kept = values > cutoff * np.maximum(values[:, -1:], 0.0)
    along = (np.ascontiguousarray(axes.swapaxes(1, 2)) * vectors[:, None]).sum(-1)
    coefficients = np.where(kept, along / values, np.where(np.isnan(values), np.nan, 0.0))
    solved = (np.ascontiguousarray(axes) * coefficients[:, None]).sum(-1)
    return np.where(finite[:, None], solved, np.nan)


def _eigh(matrices: Array) -> tuple[Array, Array]:
    """Returns ascending eigenvalues [R, S] and eigenvectors [R, S, S], in columns.

    Both are NaN for a matrix for which LAPACK does not converge.
    """
    try:
        values, axes = np.linalg.eigh(matrices)
    except np.linalg.LinAlgError:
        if len(matrices) == 1:
            return np.full(matrices.shape[:2], np.nan), np.full(matrices.shape, np.nan)
        pairs = [_eigh(matrix[None]) for matrix in matrices]
        return np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs])
    return values, axes
