"""Where samples meet: the sums over them of their gradients ∂l_i, and the norms of these."""

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
    """Sums over samples whose gradients are there one by one, a part of them after another or all at once.

    Attributes:
        weights: [R, B] p_i
        gradient: [R, P] Σ p_i ∂l_i
        square: [R, P] Σ p_i (∂l_i)²
        clipped: [R, P] Σ p_i f_i ∂l_i; None where there are no factors.
    """

    weights: Array
    gradient: Array
    square: Array
    clipped: Array | None

    @classmethod
    def zeros(cls, weights: Array, parameters: int, clipped: bool) -> Self:
        """Without any sample yet."""
        shape = len(weights), parameters
        clipped_sum = np.zeros(shape) if clipped else None
        return cls(kernel_array(weights), np.zeros(shape), np.zeros(shape), clipped_sum)

    @classmethod
    def of_samples(cls, weights: Array, gradients: Array, factor: Factor | None) -> Self:
        """Over all samples, of ``gradients`` [P, R, B]; ``weighted`` says in which order."""
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
            span: which ones, counted over all R·B.
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
        """f_i [N] of the same samples; None without a factor."""
        if factor is None:
            return None
        square = squared_norms(jacobian) * (1.0 if slope is None else slope * slope)
        return sample_factors(factor, square, np.arange(span.start, span.stop) // self.weights.shape[1])


def weighted_sum(weights: Array, numbers: Array) -> Array:
    """Σ w_i x_i [R, P], of w [R, B] or [P, R, B] and x [P, R, B].

    In NumPy's order, by pairs: on it depends which sums of what shots give are exactly 0.
    """
    return np.ascontiguousarray((weights * numbers).sum(-1).T)


@np.errstate(all="ignore")
def sample_factors(factor: Factor, square: Array, rows: NDArray[np.int64]) -> Array:
    """f_i, contiguous, of samples with |∂l_i|² = ``square``."""
    return np.ascontiguousarray(factor(np.sqrt(square), rows))


def squared_norms(gradients: Array) -> Array:
    """|g_i|² [N] of g [N, P], contiguous."""
    from orchestrator.backends.batched import over_samples

    found = np.empty(len(gradients))
    over_samples.squares(gradients, found)
    return found


class NormCollector:
    """Collects the squares of gradients' norms; see ``models.stages.Collector``. Those of all stages add up.

    Attributes:
        squares: [R, B] |∂l_i|²
    """

    def __init__(self, rows: int, samples: int) -> None:
        self.squares = np.zeros((rows, samples))

    def outer(self, values: Array, cotangent: Array) -> None:
        """The norm of x δᵀ is |x| |δ| (Goodfellow 2015, arXiv 1510.01799)."""
        self.squares += np.square(values).sum(-1) * np.square(cotangent).sum(-1)

    def explicit(self, parts: Iterable[tuple[slice, Array]]) -> None:
        """Component by component."""
        flat = self.squares.reshape(-1)
        for span, gradients in parts:
            flat[span] += squared_norms(gradients)

    def signal(self, signal: Array) -> None:
        """A signal is no part of the gradient."""


class MomentSums(NamedTuple):
    """Moments over the samples of a shard, of a whole model or as views of those of a stage.

    Attributes:
        gradient: [R, p] Σ p_i ∂l_i
        square: [R, p] Σ p_i (∂l_i)²
        signal: [R, s] Σ p_i δ_i
        signal_square: [R, s] Σ p_i δ_i²
        clipped: [R, p] Σ p_i f_i ∂l_i; None where there are no factors.
    """

    gradient: Array
    square: Array
    signal: Array
    signal_square: Array
    clipped: Array | None

    @classmethod
    def empty(cls, model: Layered, rows: int, clipped: bool) -> Self:
        """Room for those of a model, not written yet."""
        own, signal = (rows, model.parameters), (rows, model.slots[-1].signal.stop)
        clipped_sum = np.empty(own) if clipped else None
        return cls(np.empty(own), np.empty(own), np.empty(signal), np.empty(signal), clipped_sum)

    def of(self, slot: Slot) -> Self:
        """Those of one stage."""
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
    """Collects moments; see ``models.stages.Collector``.

    Attributes:
        weights: [R, B] p_i, contiguous.
        factors: [R, B] f_i, contiguous; or None.
        sums: of one stage, written.
    """

    weights: Array
    factors: Array | None
    sums: MomentSums

    def outer(self, values: Array, cotangent: Array) -> None:
        """No sample's gradient is formed.

        Its components are x_j δ_k, so the second moment is the matrix product (x²)ᵀ (p δ²) (Dangel et al.
        2020, "BackPACK").
        """
        p = self.weights[..., None]
        _product(values, p * cotangent, self.sums.gradient)
        _product(np.square(values), p * np.square(cotangent), self.sums.square)
        if self.sums.clipped is not None and self.factors is not None:
            _product(values, p * self.factors[..., None] * cotangent, self.sums.clipped)

    def explicit(self, parts: Iterable[tuple[slice, Array]]) -> None:
        """Sample after sample."""
        clipped = self.sums.clipped
        found = ExplicitSums.zeros(self.weights, self.sums.gradient.shape[1], clipped is not None)
        for span, gradients in parts:
            factors = None if self.factors is None else self.factors.reshape(-1)[span]
            found.add(span, gradients, factors=factors)
        self.sums.gradient[:], self.sums.square[:] = found.gradient, found.square
        if clipped is not None:
            clipped[:] = found.clipped

    def signal(self, signal: Array) -> None:
        """Both moments of the signal."""
        p = self.weights[:, None]
        self.sums.signal[:] = (p @ signal)[:, 0]
        self.sums.signal_square[:] = (p @ np.square(signal))[:, 0]


def _product(values: Array, cotangent: Array, total: Array) -> None:
    """Writes Σ_i x_i δ_iᵀ, of [R, B, n] and [R, B, m], to [R, nm]."""
    matrix = total.reshape(len(total), values.shape[-1], cotangent.shape[-1])
    np.matmul(values.swapaxes(1, 2), cotangent, out=matrix)


def kernel_array(array: Array) -> Array:
    """The array as the one kind that compiled code is made for; what comes from Ray is read-only."""
    if array.dtype == np.float64 and array.flags.carray:
        return array  # np.require would find the same, for 2 µs
    return np.require(array, np.float64, ["C", "A", "W"])
