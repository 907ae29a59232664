"""Losses of measured expectation values, and their variance due to shots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.engines.measured.meter import Measured, Outcomes
from orchestrator.engines.measured.squared import FEWEST_SHOTS, square_of_mean
from orchestrator.groups import Array
from orchestrator.models import losses

_CROSS_ENTROPIES = ("binary-cross-entropy", "cross-entropy")

BIASED = (*_CROSS_ENTROPIES, "hinge")
"""Losses that are neither linear nor quadratic in E: their estimates from shots are biased."""

_STEP = 1e-4
"""Step of the central differences of a slope, for its variance. Their error of 1e-8 is negligible there."""


def fewest_shots(loss: str, head: str) -> int:
    """Smallest number of shots from which a loss and its variance can be estimated."""
    return FEWEST_SHOTS if (loss, head) == ("mse", "expectation") else 2


@dataclass(frozen=True)
class LossEstimate:
    """The loss of samples, its derivatives by the K expectation values, and the effect of shots on both.

    Attributes:
        value: [R, B] l
        value_variance: [R, B] variance of l; None when exact.
        slope: [R, B, K] a_k = dl/dE_k
        spread: [R, B, K, K] signed standard deviation of a_k due to the shots of E_m, at [k, m]; None when
            exact.
    """

    value: Array
    value_variance: Array | None
    slope: Array
    spread: Array | None

    def chain_rule(self, derivative: Array, variance: Array | None) -> tuple[Array, Array | None]:
        """Returns Σ_k a_k g_k and an unbiased estimate of its variance, for g independent of a.

        Args:
            derivative: [P, R, B, K] g
            variance: [P, R, B, K] unbiased estimates of the variances of g; None when exact.

        Returns:
            [P, R, B] each, the variance None when exact.
        """
        a, s = self.slope, self.spread
        total = (a * derivative).sum(-1)
        if s is None or variance is None:
            return total, None
        through = np.square((s * derivative[..., None]).sum(-2)).sum(-1)
        both = (np.square(s).sum(-1) * variance).sum(-1)
        return total, (a * a * variance).sum(-1) + through - both


@dataclass(frozen=True)
class MeasuredLoss:
    """A loss on expectation values, exact or from shots.

    The estimates of mse and its variance are unbiased: see ``measured.squared``. Cross-entropies estimate a
    probability by (k + ½)/(N + 1) for k of N outcomes, which keeps them finite, but biased. Losses of a
    softmax are biased, too. These variances, and that of hinge, are of first order in the variance of Ê.
    """

    name: str
    head: str
    classes: int

    def estimate(self, measured: Measured, targets: Array) -> LossEstimate:
        """Estimates the loss at one setting: ``measured`` [1, R, B, K], ``targets`` [R, B]."""
        prediction, outcomes = measured.value[0], measured.outcomes
        if outcomes is None or measured.variance is None:
            loss, slope = self._loss(prediction, targets)
            return LossEstimate(loss, None, slope, None)
        if self.head == "softmax":
            return self._from_logits(prediction, measured.variance[0], targets)
        if self.name == "mse":
            return self._from_square(prediction, measured.variance[0], targets, outcomes)
        return self._to_first_order(prediction, measured.variance[0], targets, outcomes.shots)

    def _from_square(
        self, prediction: Array, variance: Array, targets: Array, outcomes: Outcomes
    ) -> LossEstimate:
        _, slope = self._loss(prediction, targets)
        error = 0.5 * slope  # Ê - y
        value, its_variance = square_of_mean(error, outcomes.moments(0), outcomes.shots)
        return LossEstimate(value[..., 0], its_variance[..., 0], slope, 2.0 * np.sqrt(variance)[..., None])

    def _to_first_order(self, prediction: Array, variance: Array, targets: Array, shots: int) -> LossEstimate:
        entropy = self.name in _CROSS_ENTROPIES
        if entropy:
            prediction = prediction * (shots / (shots + 1))  # 2 (k + ½)/(shots + 1) - 1
        loss, slope = self._loss(prediction, targets)
        curvature = slope * slope if entropy else np.zeros_like(slope)
        first_order = (slope * slope * variance)[..., 0]
        return LossEstimate(loss, first_order, slope, (curvature * np.sqrt(variance))[..., None])

    def _from_logits(self, prediction: Array, variance: Array, targets: Array) -> LossEstimate:
        loss, slope = self._loss(prediction, targets)
        deviation = np.sqrt(variance)
        spread = np.zeros((*slope.shape, slope.shape[-1]))
        for m in range(slope.shape[-1]):
            step = np.zeros(slope.shape[-1])
            step[m] = _STEP
            above, below = (self._loss(prediction + by, targets)[1] for by in (step, -step))
            spread[..., m] = (above - below) / (2.0 * _STEP) * deviation[..., m, None]
        return LossEstimate(loss, (slope * slope * variance).sum(-1), slope, spread)

    def _loss(self, prediction: Array, targets: Array) -> tuple[Array, Array]:
        return losses.value_and_slope(self.name, self.head, prediction, targets, self.classes)
