"""The input and the output of an engine: it takes a Shard and returns a GradientSum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from orchestrator.groups import Array
from orchestrator.streams import Streams

NO_STREAMS = Streams((), 0)
"""For engines that draw no random numbers."""


@dataclass(frozen=True)
class Shard:
    """A slice of the mini-batch of each of R rows (a row: a trial, or a trial and step when probing).

    Attributes:
        inputs: [R, B, F] features; F = 0 for a model without data.
        targets: [R, B] class index or value; 0 for a loss without targets.
        weights: [R, B] p_i, normalised to 1 over the whole mini-batch (not over the shard).
        axes: [R, A] int8 axis (0 X, 1 Y, 2 Z) of each rotation whose axis is drawn; A = 0 for most models.
        streams: of the rows, for engines that draw random numbers.
        number: index of the shard in the mini-batch, from 0.
    """

    inputs: Array
    targets: Array
    weights: Array
    axes: NDArray[np.int8]
    streams: Streams = NO_STREAMS
    number: int = 0


@dataclass(frozen=True)
class Summed:
    """Sums over samples, some of them optional; ``+`` adds field by field.

    An optional field is None in all shards or in none. None + None is None.
    """

    def __add__(self, other: Self) -> Self:
        sums = {name: _plus(name, own, getattr(other, name)) for name, own in vars(self).items()}
        return type(self)(**sums)


def _plus(name: str, left: Any, right: Any) -> Any:
    if left is None and right is None:
        return None
    if left is None or right is None:
        raise TypeError(f"{name} is None in one shard only; an engine gives it for all shards or for none")
    return left + right


@dataclass(frozen=True)
class Cost(Summed):
    """Cost of R rows, float64 [R] each.

    Attributes:
        executions: circuits executed.
        shots: shots taken; 0 where expectation values are exact.
        qpu_seconds: seconds on a quantum processor.
    """

    executions: Array
    shots: Array
    qpu_seconds: Array

    @classmethod
    def simulated(cls, rows: int, executions: float, shots: float = 0.0) -> Self:
        """The cost of R rows without a quantum processor, the same for each row."""
        return cls(np.full(rows, float(executions)), np.full(rows, float(shots)), np.zeros(rows))


@dataclass(frozen=True)
class SecondMoments(Summed):
    """Sums of squares, next to the sums in ``GradientSum``.

    Attributes:
        weight_square: [R] Σ p_i²
        square: [R, P] Σ p_i (∂l_i)²
    """

    weight_square: Array
    square: Array


@dataclass(frozen=True)
class ShotNoise(Summed):
    """Variances due to finite shots: u_i of l_i, v_i of ∂l_i.

    Attributes:
        loss: [R] Σ p_i² u_i
        gradient: [R, P] Σ p_i² v_i
        gradient_first: [R, P] Σ p_i v_i
    """

    loss: Array
    gradient: Array
    gradient_first: Array


@dataclass(frozen=True)
class Signals(Summed):
    """The back-propagated signals δ_i = dl_i/da of all layers, concatenated: S numbers.

    Attributes:
        signal: [R, S] Σ p_i δ_i
        square: [R, S] Σ p_i δ_i²
    """

    signal: Array
    square: Array


@dataclass(frozen=True)
class GradientSum(Summed):
    """Sums over the samples of a shard, for R rows; ``+`` joins two shards, in shard order only.

    All sums but ``clipped`` are over unclipped gradients. p_i is the weight of sample i, l_i its loss. A sum
    that an engine does not give is None, not 0.

    Attributes:
        weight: [R] Σ p_i
        loss: [R] Σ p_i l_i
        gradient: [R, P] Σ p_i ∂l_i
        cost: of computing the sums.
        moments: of second order.
        noise: of shots; None where expectation values are exact.
        signals: of the layers; None from engines that do not back-propagate through layers.
        metric: [R, W] Σ p_i g_i, g_i the metric of the circuit's state for sample i, block after block; None
            unless an update needs it.
        clipped: [R, P] Σ p_i f_i ∂l_i, f_i the factor that clips sample i; None unless samples are clipped.
    """

    weight: Array
    loss: Array
    gradient: Array
    cost: Cost
    moments: SecondMoments | None = None
    noise: ShotNoise | None = None
    signals: Signals | None = None
    metric: Array | None = None
    clipped: Array | None = None

    @classmethod
    def exact(
        cls,
        weights: Array,
        loss: Array,
        gradient: Array,
        square: Array,
        executions: int,
        signals: Signals | None = None,
        clipped: Array | None = None,
    ) -> GradientSum:
        """Returns the sums of an engine without shots.

        Args:
            weights: [R, B] p_i, contiguous.
            loss: [R, B] l_i
            gradient: [R, P]
            square: [R, P]
            executions: circuits executed for each sample.
            signals: of the layers, if the engine back-propagates through layers.
            clipped: [R, P], if samples are clipped.
        """
        rows, samples = weights.shape
        return cls(
            weight=weights.sum(-1),
            loss=(weights * loss).sum(-1),
            gradient=gradient,
            cost=Cost.simulated(rows, samples * executions),
            moments=SecondMoments((weights * weights).sum(-1), square),
            signals=signals,
            clipped=clipped,
        )


@dataclass(frozen=True)
class LossSum(Summed):
    """Σ p_i l_i over the samples of a shard, for R rows; ``+`` joins two shards, in shard order only.

    Attributes:
        loss: [R], or [R, S] at S points.
        cost: of computing the losses.
    """

    loss: Array
    cost: Cost

    @classmethod
    def exact(cls, weights: Array, loss: Array, executions: int) -> LossSum:
        """Returns the sum of an engine without shots; arguments as in ``GradientSum.exact``."""
        rows, samples = weights.shape
        return cls((weights * loss).sum(-1), Cost.simulated(rows, samples * executions))


class Factor(Protocol):
    """Computes the factor of each sample's gradient in ``GradientSum.clipped`` from the gradient's norm.

    Example:
        Norms are clipped at 2 in the first row, at 3 in the second:

        >>> limit = np.array([2.0, 3.0])
        >>> factor = lambda norms, rows: np.minimum(1.0, limit[rows] / norms)
        >>> factor(np.array([[1.0, 4.0], [3.0, 6.0]]), np.array([[0], [1]])).tolist()
        [[1.0, 0.5], [1.0, 0.5]]
    """

    def __call__(self, norms: Array, rows: NDArray[np.int64]) -> Array:
        """Returns f_i [...] of samples with |∂l_i| = ``norms``; called for a part of the samples at a time.

        f_i depends on the norm and the row of sample i alone.

        Args:
            norms: [...]
            rows: [...] or a shape that broadcasts to it; the row of each sample in the call, from 0.
        """


class Differentiator(Protocol):
    """An engine prepared for one model and loss. Training calls its methods."""

    def gradient(self, parameters: Array, shard: Shard, factor: Factor | None = None) -> GradientSum:
        """Returns the gradient of each row's weighted loss, at ``parameters`` float64 [R, P].

        With a factor, the result has ``clipped``, too. Apart from it, only the cost depends on the factor.
        """

    def loss_at(self, parameters: Array, shard: Shard) -> LossSum:
        """Returns each row's weighted loss, from shots if ``gradient`` uses shots."""

    def predict(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Returns predictions float64 [R, B, K] for ``inputs`` [R, B, F]; computes no gradient.

        Predictions are what the loss is a function of: logits of a network, or expectation values.
        """
