"""Sums over samples of their gradients ∂l_i, and the norms of these gradients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from orchestrator.engines.gradient import Factor
from orchestrator.groups import Array
from orchestrator.models.layered import Layered, Slot


@dataclass(frozen=True, eq=False)
class ExplicitSums:
    """Sums over samples whose gradients are given one by one, in parts or all together.

    Attributes:
        weights: [R, B] p_i
        gradient: [R, P] Σ p_i ∂l_i
        square: [R, P] Σ p_i (∂l_i)²
        clipped: [R, P] Σ p_i f_i ∂l_i; None without factors.
    """

    weights: Array
    gradient: Array
    square: Array
    clipped: Array | None

    @classmethod
    def zeros(cls, weights: Array, parameters: int, clipped: bool) -> Self:
        """Returns sums of no samples."""
        shape = len(weights), parameters
        clipped_sum = np.zeros(shape) if clipped else None
        return cls(kernel_array(weights), np.zeros(shape), np.zeros(shape), clipped_sum)

    @classmethod
    def of_samples(cls, weights: Array, gradients: Array, factor: Factor | None) -> Self:
        """Sums over all samples of ``gradients`` [P, R, B], in the order of ``weighted_sum``."""
        p, clipped = np.ascontiguousarray(weights), None
        if factor is not None:
            each = np.ascontiguousarray(gradients.reshape(len(gradients), -1).T)
            factors = sample_factors(factor, squared_norms(each).reshape(p.shape), np.arange(len(p))[:, None])
            clipped = weighted_sum(p * factors, gradients)
        return cls(p, weighted_sum(p, gradients), weighted_sum(p * gradients, gradients), clipped)

    def add(
        self, span: slice, jacobian: Array, slope: Array | None = None, factors: Array | None = None
    ) -> None:
        """Adds consecutive samples, whose gradients are a_i ∂E_i, one after another.

        Args:
            span: the samples, counted over all R·B.
            jacobian: [N, P] ∂E_i, contiguous.
            slope: [N] a_i, contiguous; 1 if left out.
            factors: [N] f_i
        """
        from orchestrator.backends.batched import over_samples

        slope = np.ones(len(jacobian)) if slope is None else slope
        weights, samples = self.weights.reshape(-1)[span], self.weights.shape[1]
        over_samples.add_moments(span.start, samples, weights, slope, jacobian, self.gradient, self.square)
        if self.clipped is not None and factors is not None:
            over_samples.add_weighted(span.start, samples, weights * factors * slope, jacobian, self.clipped)

    def factors(
        self, factor: Factor | None, span: slice, jacobian: Array, slope: Array | None = None
    ) -> Array | None:
        """Factors f_i [N] of consecutive samples, arguments as in ``add``; None without a factor."""
        if factor is None:
            return None
        square = squared_norms(jacobian) * (1.0 if slope is None else slope * slope)
        return sample_factors(factor, square, np.arange(span.start, span.stop) // self.weights.shape[1])


def weighted_sum(weights: Array, numbers: Array) -> Array:
    """Σ w_i x_i [R, P], of w [R, B] or [P, R, B] and x [P, R, B].

    NumPy sums pairwise. Which sums of estimates from shots are exactly 0 depends on this order.
    """
    return np.ascontiguousarray((weights * numbers).sum(-1).T)


@np.errstate(all="ignore")
def sample_factors(factor: Factor, square: Array, rows: NDArray[np.int64]) -> Array:
    """Factors f_i, contiguous, of samples with |∂l_i|² = ``square``."""
    return np.ascontiguousarray(factor(np.sqrt(square), rows))


def squared_norms(gradients: Array) -> Array:
    """|g_i|² [N] of g [N, P], contiguous."""
    from orchestrator.backends.batched import over_samples

    norms = np.empty(len(gradients))
    over_samples.squares(gradients, norms)
    return norms


class NormCollector:
    """Adds up the squared norms of the gradients of all stages; see ``models.stages.Collector``.

    Attributes:
        squares: [R, B] |∂l_i|²
    """

    def __init__(self, rows: int, samples: int) -> None:
        self.squares = np.zeros((rows, samples))

    def outer(self, values: Array, cotangent: Array) -> None:
        """Adds |x|² |δ|², the squared norm of x δᵀ (Goodfellow 2015, arXiv 1510.01799)."""
        self.squares += np.square(values).sum(-1) * np.square(cotangent).sum(-1)

    def explicit(self, parts: Iterable[tuple[slice, Array]]) -> None:
        """Adds the squared norms of explicit gradients."""
        flat = self.squares.reshape(-1)
        for span, gradients in parts:
            flat[span] += squared_norms(gradients)

    def signal(self, signal: Array) -> None:
        """Does nothing: a signal is no part of the gradient."""


class MomentSums(NamedTuple):
    """Moments over the samples of a shard, of a whole model or of one stage.

    Attributes:
        gradient: [R, p] Σ p_i ∂l_i
        square: [R, p] Σ p_i (∂l_i)²
        signal: [R, s] Σ p_i δ_i
        signal_square: [R, s] Σ p_i δ_i²
        clipped: [R, p] Σ p_i f_i ∂l_i; None without factors.
    """

    gradient: Array
    square: Array
    signal: Array
    signal_square: Array
    clipped: Array | None

    @classmethod
    def empty(cls, model: Layered, rows: int, clipped: bool) -> Self:
        """Returns uninitialised arrays for the moments of a model."""
        own, signal = (rows, model.parameters), (rows, model.slots[-1].signal.stop)
        clipped_sum = np.empty(own) if clipped else None
        return cls(np.empty(own), np.empty(own), np.empty(signal), np.empty(signal), clipped_sum)

    def of_stage(self, slot: Slot) -> Self:
        """Views of the moments of one stage."""
        own, signal = slot.parameters, slot.signal
        return type(self)(
            self.gradient[:, own],
            self.square[:, own],
            self.signal[:, signal],
            self.signal_square[:, signal],
            None if self.clipped is None else self.clipped[:, own],
        )


@dataclass(frozen=True, eq=False)
class MomentCollector:
    """Computes the moments of one stage; see ``models.stages.Collector``.

    Attributes:
        weights: [R, B] p_i, contiguous.
        factors: [R, B] f_i, contiguous; or None.
        sums: of the stage; written.
    """

    weights: Array
    factors: Array | None
    sums: MomentSums

    def outer(self, values: Array, cotangent: Array) -> None:
        """Computes the moments without forming any sample's gradient x δᵀ.

        The gradient's components are x_j δ_k, so the second moment is the matrix product (x²)ᵀ (p δ²) (Dangel
        et al. 2020, "BackPACK").
        """
        p = self.weights[..., None]
        _write_product(values, p * cotangent, self.sums.gradient)
        _write_product(np.square(values), p * np.square(cotangent), self.sums.square)
        if self.sums.clipped is not None and self.factors is not None:
            _write_product(values, p * self.factors[..., None] * cotangent, self.sums.clipped)

    def explicit(self, parts: Iterable[tuple[slice, Array]]) -> None:
        """Adds up explicit gradients, sample after sample."""
        clipped = self.sums.clipped
        explicit = ExplicitSums.zeros(self.weights, self.sums.gradient.shape[1], clipped is not None)
        for span, gradients in parts:
            factors = None if self.factors is None else self.factors.reshape(-1)[span]
            explicit.add(span, gradients, factors=factors)
        self.sums.gradient[:], self.sums.square[:] = explicit.gradient, explicit.square
        if clipped is not None:
            clipped[:] = explicit.clipped

    def signal(self, signal: Array) -> None:
        """Computes both moments of the signal."""
        p = self.weights[:, None]
        self.sums.signal[:] = (p @ signal)[:, 0]
        self.sums.signal_square[:] = (p @ np.square(signal))[:, 0]


def _write_product(values: Array, cotangent: Array, total: Array) -> None:
    """Writes Σ_i x_i δ_iᵀ, of [R, B, n] and [R, B, m], to [R, nm]."""
    matrix = total.reshape(len(total), values.shape[-1], cotangent.shape[-1])
    np.matmul(values.swapaxes(1, 2), cotangent, out=matrix)


def kernel_array(array: Array) -> Array:
    """Returns the array as float64, contiguous, aligned and writable, which the kernels are compiled for.

    Arrays from Ray are read-only.
    """
    if array.dtype == np.float64 and array.flags.carray:
        return array  # np.require returns the same array, but takes 2 µs
    return np.require(array, np.float64, ["C", "A", "W"])
