"""A meter for layered models: predictions at settings of all parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.backends.base import Backend
from orchestrator.engines.circuit_stage import circuit_stages
from orchestrator.engines.gradient import Cost, Shard
from orchestrator.engines.layered import LayeredDifferentiator
from orchestrator.engines.measured.meter import CALL_BYTES, Measured, repeat_rows
from orchestrator.groups import Array
from orchestrator.models.layered import Layered


@dataclass(frozen=True, eq=False)
class ForwardMeter:
    """Evaluates a whole layered model, exactly; see ``measured.meter.Measurer``.

    Attributes:
        differentiator: gives the predictions.
    """

    differentiator: LayeredDifferentiator

    @property
    def outputs(self) -> int:
        """K, number of predictions per sample."""
        return self.differentiator.model.outputs

    def expectation(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Predictions [R, B, K] of parameters [R, P] on inputs [R, B, F], with axes [R, A]."""
        return self.differentiator.predict(parameters, inputs, axes)

    def measure(self, parameters: Array, shard: Shard, first: int) -> Measured:  # noqa: ARG002
        """Predictions [S, R, B, K] at S settings [S, R, P] of the parameters."""
        settings, rows, width = parameters.shape
        points = parameters.reshape(settings * rows, width)
        inputs, axes = repeat_rows(shard.inputs, settings), repeat_rows(shard.axes, settings)
        value = self.differentiator.predict(points, inputs, axes).reshape(settings, *shard.weights.shape, -1)
        executions = settings * shard.weights.shape[1] * len(self.differentiator.model.circuits)
        return Measured(value, None, None, Cost.simulated(rows, executions))

    def spans(self, shard: Shard, count: int) -> Iterator[slice]:
        """Splits ``count`` settings into calls of bounded size."""
        size = settings_per_call(self.differentiator.model, *shard.weights.shape)
        return (slice(start, min(start + size, count)) for start in range(0, count, size))


def settings_per_call(model: Layered, rows: int, samples: int) -> int:
    """Number of settings in one call, for R rows of B samples."""
    return max(1, CALL_BYTES // model.working_bytes(rows, samples))


def forward_meter(model: Layered, backend: Backend) -> ForwardMeter:
    """Returns the meter of a model whose circuits are evaluated on ``backend``."""
    runners = model.runnables(circuit_stages(backend.prepare))
    return ForwardMeter(LayeredDifferentiator(model, runners, "", model.outputs))


def working_bytes(model: Layered, backend: Backend, settings: int, rows: int, samples: int) -> int:
    """Memory of one gradient of R rows of B samples besides the shard, in bytes.

    Args:
        settings: number of settings that may share a call.
    """
    size = min(settings, settings_per_call(model, rows, samples))
    outputs = model.outputs
    derivatives = 8 * (4 + outputs * (outputs + 1)) * model.parameters * rows * samples
    calls = model.calls(size * rows, samples)
    circuits = max(backend.bytes(call.program, call.executions) for call in calls)
    return derivatives + model.working_bytes(size * rows, samples) + circuits
