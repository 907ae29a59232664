"""What an engine is handed and what it returns: a shard in, a GradientSum out."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

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
class GradientSum:
    """Sums over the samples of a shard, for R rows; ``+`` joins two shards, in shard order only.

    All on unclipped gradients. p_i: weight of sample i, l_i its loss, u_i and v_i the variances that finite
    shots add to l_i and ∂l_i (0 when exact), δ_i the back-propagated signal dl_i/da of a layer.

    Attributes:
        weight: [R] Σ p_i
        weight_square: [R] Σ p_i²
        loss: [R] Σ p_i l_i
        loss_noise: [R] Σ p_i² u_i
        gradient: [R, P] Σ p_i ∂l_i
        square: [R, P] Σ p_i (∂l_i)²
        noise: [R, P] Σ p_i² v_i
        noise_first: [R, P] Σ p_i v_i
        signal: [R, S] Σ p_i δ_i, all layers side by side; S = 0 where the model has none
        signal_square: [R, S] Σ p_i δ_i²
        metric: [R, W] Σ p_i g_i, g_i the metric of the circuit's state for sample i, its blocks one behind
            the other; W = 0 unless an update asks for it
        executions: [R] circuits executed
        shots: [R] shots taken
        qpu_seconds: [R] seconds of quantum processor
    """

    weight: Array
    weight_square: Array
    loss: Array
    loss_noise: Array
    gradient: Array
    square: Array
    noise: Array
    noise_first: Array
    signal: Array
    signal_square: Array
    metric: Array
    executions: Array
    shots: Array
    qpu_seconds: Array

    @classmethod
    def exact(
        cls, weights: Array, loss: Array, gradient: Array, square: Array, executions: int, *signal: Array
    ) -> GradientSum:
        """The sums of an engine without shots.

        Args:
            weights: [R, B] p_i, contiguous.
            loss: [R, B] l_i
            gradient: [R, P]
            square: [R, P]
            executions: circuits executed for each sample.
            signal: ``signal`` and ``signal_square``, if the model has them.
        """
        rows, samples = weights.shape
        none, empty = np.zeros(rows), np.zeros((rows, 0))
        return cls(
            weight=weights.sum(-1),
            weight_square=(weights * weights).sum(-1),
            loss=(weights * loss).sum(-1),
            loss_noise=none,
            gradient=gradient,
            square=square,
            noise=np.zeros(gradient.shape),
            noise_first=np.zeros(gradient.shape),
            signal=signal[0] if signal else empty,
            signal_square=signal[1] if signal else empty,
            metric=empty,
            executions=np.full(rows, float(samples * executions)),
            shots=none,
            qpu_seconds=none,
        )

    def __add__(self, other: GradientSum) -> GradientSum:
        return GradientSum(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


class Differentiator(Protocol):
    """An engine made ready for one model and loss; what training calls."""

    def gradient(self, parameters: Array, shard: Shard) -> GradientSum:
        """Gradient of each row's weighted loss: ``parameters`` float64 [R, P]."""

    def predict(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """What the loss is computed from, float64 [R, B, K]: logits of a network, expectation values.

        ``inputs`` is [R, B, F]; no gradient is computed.
        """
