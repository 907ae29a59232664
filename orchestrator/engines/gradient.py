"""What an engine is handed and what it returns: a shard in, a GradientSum out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from orchestrator.groups import Array
from orchestrator.streams import Streams

NO_STREAMS = Streams((), 0)
"""Enough for engines that draw nothing."""


@dataclass(frozen=True)
class Shard:
    """A slice of the mini-batch of each of R rows (a row: a trial, or a trial and step when probing).

    Attributes:
        inputs: [R, B, F] features; F = 0 for a model without data.
        targets: [R, B] class index or value, 0 for a loss that needs none.
        weights: [R, B] p_i, normalised to 1 over the whole mini-batch (not over the shard).
        axes: [R, A] int8 axis (0 X, 1 Y, 2 Z) of each rotation whose axis is drawn; A = 0 for most models.
        streams: those of the rows, for engines that draw random numbers.
        number: place of the shard in the mini-batch, counted from 0.
    """

    inputs: Array
    targets: Array
    weights: Array
    axes: NDArray[np.int8]
    streams: Streams = NO_STREAMS
    number: int = 0


@dataclass(frozen=True)
class Summed:
    """Numbers that are summed over samples, some of them perhaps not there; ``+`` adds field by field.

    What is not there is None in all shards: None + None is None.
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
    """What R rows have cost, float64 [R] each.

    Attributes:
        executions: circuits executed.
        shots: shots taken; 0 where expectation values are exact.
        qpu_seconds: seconds of quantum processor.
    """

    executions: Array
    shots: Array
    qpu_seconds: Array

    @classmethod
    def simulated(cls, rows: int, executions: float, shots: float = 0.0) -> Self:
        """The cost of R rows that cost the same, and no quantum processor."""
        return cls(np.full(rows, float(executions)), np.full(rows, float(shots)), np.zeros(rows))


@dataclass(frozen=True)
class SecondMoments(Summed):
    """Squares of what ``GradientSum`` sums.

    Attributes:
        weight_square: [R] Σ p_i²
        square: [R, P] Σ p_i (∂l_i)²
    """

    weight_square: Array
    square: Array


@dataclass(frozen=True)
class ShotNoise(Summed):
    """Variances that finite shots add: u_i to l_i, v_i to ∂l_i.

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
    """The back-propagated signals δ_i = dl_i/da of all layers, side by side; S numbers.

    Attributes:
        signal: [R, S] Σ p_i δ_i
        square: [R, S] Σ p_i δ_i²
    """

    signal: Array
    square: Array


@dataclass(frozen=True)
class GradientSum(Summed):
    """Sums over the samples of a shard, for R rows; ``+`` joins two shards, in shard order only.

    All but ``clipped`` on unclipped gradients. p_i: weight of sample i, l_i its loss. What an engine does not
    give is None: nobody takes it for 0.

    Attributes:
        weight: [R] Σ p_i
        loss: [R] Σ p_i l_i
        gradient: [R, P] Σ p_i ∂l_i
        cost: of computing it.
        moments: of second order.
        noise: of shots; None where expectation values are exact.
        signals: of the layers, from engines that go back through them.
        metric: [R, W] Σ p_i g_i, g_i the metric of the circuit's state for sample i, one block after another;
            None unless an update asks for it.
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
        """The sums of an engine without shots.

        Args:
            weights: [R, B] p_i, contiguous.
            loss: [R, B] l_i
            gradient: [R, P]
            square: [R, P]
            executions: circuits executed for each sample.
            signals: of the layers, if the engine goes back through them.
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
        cost: of computing it.
    """

    loss: Array
    cost: Cost

    @classmethod
    def exact(cls, weights: Array, loss: Array, executions: int) -> LossSum:
        """The sum of an engine without shots; arguments as of ``GradientSum.exact``."""
        rows, samples = weights.shape
        return cls((weights * loss).sum(-1), Cost.simulated(rows, samples * executions))


class Factor(Protocol):
    """What each sample's gradient is multiplied by in ``GradientSum.clipped``, from its norm.

    Example:
        Norms are clipped at 2 in the first row, at 3 in the second:

        >>> limit = np.array([2.0, 3.0])
        >>> factor = lambda norms, rows: np.minimum(1.0, limit[rows] / norms)
        >>> factor(np.array([[1.0, 4.0], [3.0, 6.0]]), np.array([[0], [1]])).tolist()
        [[1.0, 0.5], [1.0, 0.5]]
    """

    def __call__(self, norms: Array, rows: NDArray[np.int64]) -> Array:
        """f_i of samples with |∂l_i| = ``norms`` in ``rows``, each by itself; called for some at a time.

        Args:
            norms: [...]
            rows: [...] or what broadcasts to it; row of the call, counted from 0.
        """


class Differentiator(Protocol):
    """An engine made ready for one model and loss; what training calls."""

    def gradient(self, parameters: Array, shard: Shard, factor: Factor | None = None) -> GradientSum:
        """Gradient of each row's weighted loss: ``parameters`` float64 [R, P].

        With a factor, ``clipped`` is there too; nothing else but the cost depends on it.
        """

    def loss_at(self, parameters: Array, shard: Shard) -> LossSum:
        """Each row's weighted loss, measured as ``gradient`` does: from shots, if it takes some."""

    def predict(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """What the loss is computed from, float64 [R, B, K]: logits of a network, expectation values.

        ``inputs`` is [R, B, F]; no gradient is computed.
        """
