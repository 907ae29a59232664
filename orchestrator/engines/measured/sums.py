"""Sums of a shard from derivatives of single samples."""

from __future__ import annotations

import numpy as np

from orchestrator.backends.base import Backend
from orchestrator.engines.gradient import (
    Cost,
    Factor,
    GradientSum,
    LossSum,
    SecondMoments,
    Shard,
    ShotNoise,
)
from orchestrator.engines.measured.loss import LossEstimate, MeasuredLoss
from orchestrator.engines.measured.meter import Measurer, setting_bytes, settings_per_call
from orchestrator.engines.per_sample import ExplicitSums, weighted_sum
from orchestrator.groups import Array
from orchestrator.models.circuits.program import Program


def gradient_sum(
    shard: Shard,
    loss: LossEstimate,
    derivative: Array,
    variance: Array | None,
    cost: Cost,
    factor: Factor | None,
) -> GradientSum:
    """Returns the sums over the samples of a shard.

    Args:
        shard: gives the weights p_i [R, B].
        loss: l_i and its variance [R, B].
        derivative: [P, R, B] ∂l_i
        variance: [P, R, B] v_i, variance of ∂l_i due to shots; None when exact.
        cost: of all measurements.
        factor: of each sample's measured derivatives, for ``clipped``; None without clipping.
    """
    sums = ExplicitSums.of_samples(shard.weights, derivative, factor)
    p = sums.weights
    return GradientSum(
        weight=p.sum(-1),
        loss=(p * loss.value).sum(-1),
        gradient=sums.gradient,
        cost=cost,
        moments=SecondMoments((p * p).sum(-1), sums.square),
        noise=_noise(p, loss.value_variance, variance),
        clipped=sums.clipped,
    )


def _noise(p: Array, of_loss: Array | None, of_derivative: Array | None) -> ShotNoise | None:
    if of_loss is None or of_derivative is None:
        return None
    return ShotNoise(
        loss=(p * p * of_loss).sum(-1),
        gradient=weighted_sum(p * p, of_derivative),
        gradient_first=weighted_sum(p, of_derivative),
    )


def loss_sum(parameters: Array, shard: Shard, loss: MeasuredLoss, meter: Measurer) -> LossSum:
    """Measures the loss of a shard at one setting of the parameters, [R, P] or [R·B, P]."""
    measured = meter.measure(parameters[None], shard, 0)
    value = loss.estimate(measured, shard.targets).value
    return LossSum((np.ascontiguousarray(shard.weights) * value).sum(-1), measured.cost)


def working_bytes(program: Program, backend: Backend, settings: int, rows: int, samples: int) -> int:
    """Memory of one gradient of R rows of B samples besides the shard, in bytes.

    It counts ∂l and v of all samples, the products that are summed, and the largest call.

    Args:
        settings: number of settings that may share a call.
    """
    outputs = program.outputs
    derivatives = 8 * (4 + outputs * (outputs + 1)) * program.parameters * rows * samples
    size = min(settings, settings_per_call(program, rows, samples))
    call = size * setting_bytes(program, rows, samples)
    return derivatives + call + backend.bytes(program, size * rows * samples)
