"""Losses of measured expectation values, and the variance that shots give to them."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.engines.gradient import Array
from orchestrator.engines.measured.meter import Measured
from orchestrator.models import losses

_CROSS_ENTROPIES = ("binary-cross-entropy", "cross-entropy")

BIASED = (*_CROSS_ENTROPIES, "hinge")
"""Losses that are neither linear nor quadratic in E: what shots give them has another mean."""


@dataclass(frozen=True)
class Estimate:
    """The loss of samples, its derivative by E, and the variances that shots give to both; [R, B] each."""

    value: Array
    value_variance: Array
    slope: Array
    slope_variance: Array


@dataclass(frozen=True)
class MeasuredLoss:
    """A loss on expectation values, exact or from ``shots``.

    mse is estimated without bias: Ê has variance v, so (Ê - y)² has mean (E - y)² + v. Cross-entropies
    take (k + ½)/(shots + 1) for the probability of k among ``shots`` outcomes: finite, but biased. Variances
    are exact to second order in v for mse, to first order for cross-entropies.
    """

    name: str
    classes: int
    shots: int | None

    def of(self, measured: Measured, targets: Array) -> Estimate:
        """The loss at one setting: ``measured`` [1, R, B], ``targets`` [R, B]."""
        value, variance = measured.value[0], measured.variance[0]
        if self.shots is not None and self.name in _CROSS_ENTROPIES:
            value = value * (self.shots / (self.shots + 1))  # 2 (k + ½)/(shots + 1) - 1
        prediction = value[..., None]
        loss, slope = losses.value_and_slope(self.name, "expectation", prediction, targets, self.classes)
        slope = slope[..., 0]
        if self.name == "mse":
            first_order = slope * slope * variance
            return Estimate(loss - variance, first_order - 2.0 * variance**2, slope, 4.0 * variance)
        curvature = slope * slope if self.name in _CROSS_ENTROPIES else 0.0
        return Estimate(loss, slope * slope * variance, slope, curvature**2 * variance)
