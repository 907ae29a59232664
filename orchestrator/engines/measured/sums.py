"""From derivatives of single samples to the sums of a shard."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from orchestrator.engines.backends.base import Backend
from orchestrator.engines.gradient import Cost, GradientSum, Shard, ShotNoise
from orchestrator.engines.measured.loss import Estimate
from orchestrator.engines.measured.meter import Measurer, setting_bytes, settings_at_once
from orchestrator.groups import Array
from orchestrator.models.program import Program


def summed(shard: Shard, loss: Estimate, derivative: Array, variance: Array, meter: Measurer) -> GradientSum:
    """The sums over the samples of a shard.

    Args:
        shard: gives the weights p_i [R, B].
        loss: l_i and its variance [R, B].
        derivative: [P, R, B] ∂l_i
        variance: [P, R, B] v_i, what shots add to ∂l_i.
        meter: has measured all its settings.
    """
    p = np.ascontiguousarray(shard.weights)
    gradient, square = _over_samples(p * derivative), _over_samples(p * derivative * derivative)
    total = GradientSum.exact(p, loss.value, gradient, square, meter.executions)
    if meter.shots is None:
        return total
    executions = meter.executions * p.shape[1]
    noise = ShotNoise(
        loss=(p * p * loss.value_variance).sum(-1),
        gradient=_over_samples(p * p * variance),
        gradient_first=_over_samples(p * variance),
    )
    return replace(total, noise=noise, cost=Cost.simulated(len(p), executions, executions * meter.shots))


def _over_samples(terms: Array) -> Array:
    """[P, R, B] summed to [R, P]."""
    return np.ascontiguousarray(terms.sum(-1).T)


def working_bytes(program: Program, backend: Backend, settings: int, rows: int, samples: int) -> int:
    """Memory of one gradient of R rows of B samples, beside the shard.

    Counted are ∂l and v of all samples and the products that are summed, and the largest call.

    Args:
        settings: of the parameters, that can go in one call.
    """
    outputs = program.outputs
    derivatives = 8 * (4 + outputs * (outputs + 1)) * program.parameters * rows * samples
    size = min(settings, settings_at_once(program, rows, samples))
    call = size * setting_bytes(program, rows, samples)
    return derivatives + call + backend.bytes(program, size * rows * samples)
