"""Losses of measured expectation values, and the variance that shots give to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.engines.measured.meter import Measured, Outcomes
from orchestrator.engines.measured.squared import FEWEST, square_of_mean
from orchestrator.groups import Array
from orchestrator.models import losses

_CROSS_ENTROPIES = ("binary-cross-entropy", "cross-entropy")

BIASED = (*_CROSS_ENTROPIES, "hinge")
"""Losses that are neither linear nor quadratic in E: what shots give them has another mean."""

_STEP = 1e-4
"""Of central differences of a slope, for its variance; their error of 1e-8 does not matter there."""


def fewest_shots(loss: str, head: str) -> int:
    """Shots that a loss and its variance can be estimated from."""
    return FEWEST if (loss, head) == ("mse", "expectation") else 2


@dataclass(frozen=True)
class Estimate:
    """The loss of samples, its derivatives by the K expectation values, and what shots do to both.

    Attributes:
        value: [R, B] l
        value_variance: [R, B] its variance; 0 when exact.
        slope: [R, B, K] a_k = dl/dE_k
        spread: [R, B, K, K] standard deviation that the shots of E_m give to a_k, with its sign, at [k, m].
    """

    value: Array
    value_variance: Array
    slope: Array
    spread: Array

    def along(self, derivative: Array, variance: Array) -> tuple[Array, Array]:
        """Σ_k a_k g_k and an unbiased estimate of its variance, g independent of a.

        Args:
            derivative: [P, R, B, K] g
            variance: [P, R, B, K] unbiased estimates of the variances of g.

        Returns:
            [P, R, B] each.
        """
        a, s = self.slope, self.spread
        total = (a * derivative).sum(-1)
        through = np.square((s * derivative[..., None]).sum(-2)).sum(-1)
        both = (np.square(s).sum(-1) * variance).sum(-1)
        return total, (a * a * variance).sum(-1) + through - both


@dataclass(frozen=True)
class MeasuredLoss:
    """A loss on expectation values, exact or from ``shots``.

    mse is estimated without bias, and so is its variance: see ``measured.squared``. Cross-entropies
    take (k + ½)/(shots + 1) for the probability of k among ``shots`` outcomes: finite, but biased; so is what
    goes through a softmax. Their variances, and that of hinge, are of first order in that of Ê.
    """

    name: str
    head: str
    classes: int
    shots: int | None

    def of(self, measured: Measured, targets: Array) -> Estimate:
        """The loss at one setting: ``measured`` [1, R, B, K], ``targets`` [R, B]."""
        prediction, variance = measured.value[0], measured.variance[0]
        if self.head == "softmax":
            return self._of_logits(prediction, variance, targets)
        if self.shots is not None and self.name in _CROSS_ENTROPIES:
            prediction = prediction * (self.shots / (self.shots + 1))  # 2 (k + ½)/(shots + 1) - 1
        loss, slope = self._loss(prediction, targets)
        if self.name == "mse" and measured.outcomes is not None:
            return self._of_square(measured.outcomes, slope, variance)
        first_order = (slope * slope * variance)[..., 0]
        curvature = slope * slope if self.name in _CROSS_ENTROPIES else np.zeros_like(slope)
        return Estimate(loss, first_order, slope, (curvature * np.sqrt(variance))[..., None])

    def _of_square(self, outcomes: Outcomes, slope: Array, variance: Array) -> Estimate:
        error = 0.5 * slope  # Ê - y
        value, its_variance = square_of_mean(error, outcomes.moments(0), outcomes.shots)
        return Estimate(value[..., 0], its_variance[..., 0], slope, 2.0 * np.sqrt(variance)[..., None])

    def _of_logits(self, prediction: Array, variance: Array, targets: Array) -> Estimate:
        loss, slope = self._loss(prediction, targets)
        deviation = np.sqrt(variance)
        spread = np.zeros((*slope.shape, slope.shape[-1]))
        for m in range(slope.shape[-1] if self.shots else 0):
            moved = np.zeros(slope.shape[-1])
            moved[m] = _STEP
            above, below = (self._loss(prediction + by, targets)[1] for by in (moved, -moved))
            spread[..., m] = (above - below) / (2.0 * _STEP) * deviation[..., m, None]
        return Estimate(loss, (slope * slope * variance).sum(-1), slope, spread)

    def _loss(self, prediction: Array, targets: Array) -> tuple[Array, Array]:
        return losses.value_and_slope(self.name, self.head, prediction, targets, self.classes)
