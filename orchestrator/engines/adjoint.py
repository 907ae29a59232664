"""Exact circuit gradients by adjoint differentiation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from orchestrator.backends.base import AdjointEvaluator, Backend
from orchestrator.config.base import field_validator, refuse
from orchestrator.engines.circuit import CircuitEngine
from orchestrator.engines.gradient import Differentiator, Factor, GradientSum, LossSum, Shard
from orchestrator.engines.per_sample import ExplicitSums
from orchestrator.groups import Array
from orchestrator.models import losses
from orchestrator.models.base import Built
from orchestrator.models.circuits.program import Program


class Adjoint(CircuitEngine):
    """Exact gradients of a circuit by one forward and one backward pass, for any number of parameters."""

    engine: Literal["adjoint"]

    @field_validator("backend")
    @classmethod
    def _backend_has_states(cls, backend: Backend) -> Backend:
        if backend.shots is not None or not backend.differentiates:
            raise refuse("must give statevectors, without shots and noise; use engine: parameter-shift")
        return backend

    def passes(self, model: Built) -> float:  # noqa: ARG002
        """Three: one state forward, two states backward."""
        return 3.0

    def prepare_circuit(self, program: Program, loss: str, classes: int) -> Differentiator:
        """Prepares the Differentiator of a circuit."""
        return AdjointDifferentiator(self.pullback(program), loss, classes)

    def pullback(self, program: Program) -> AdjointEvaluator:
        """Prepares the circuit for adjoint differentiation on the backend."""
        return self.backend.adjoint(program)

    def circuit_bytes(self, program: Program, rows: int, samples: int) -> int:
        """Working memory of one gradient of a circuit, in bytes."""
        return self.backend.adjoint_bytes(program, rows, samples)

    def pullback_bytes(self, program: Program, rows: int, samples: int) -> int:
        """Working memory of one call of a ``pullback``, in bytes."""
        return self.backend.adjoint_bytes(program, rows, samples)


@dataclass(frozen=True, eq=False)
class AdjointDifferentiator:
    """The Differentiator of one circuit and loss.

    With several observables, the loss's slopes at all E are computed first. Then one backward pass gives the
    gradient of the weighted sum of all observables.
    """

    adjoint: AdjointEvaluator
    loss: str
    classes: int

    def gradient(self, parameters: Array, shard: Shard, factor: Factor | None = None) -> GradientSum:
        """Gradient of each row's weighted loss, ``parameters`` float64 [R, P].

        Samples are processed in parts. The factors of a part are computed from the norms of its gradients
        before these are summed.
        """
        sums = ExplicitSums.zeros(shard.weights, parameters.shape[1], factor is not None)
        value, targets, slopes = np.empty(sums.weights.size), shard.targets.reshape(-1), None
        if self.adjoint.program.outputs > 1:
            _, slopes = self._loss(self.predict(parameters, shard.inputs, shard.axes), shard.targets)
        for part in self.adjoint.parts(parameters, shard.inputs, shard.axes, slopes):
            value[part.span], slope = self._loss(part.expectation, targets[part.span])
            along = np.ascontiguousarray(slope[:, 0]) if slopes is None else None
            factors = sums.factors(factor, part.span, part.derivative, along)
            sums.add(part.span, part.derivative, along, factors)
        return GradientSum.exact(
            sums.weights,
            value.reshape(sums.weights.shape),
            sums.gradient,
            sums.square,
            self.adjoint.executions,
            clipped=sums.clipped,
        )

    def loss_at(self, parameters: Array, shard: Shard) -> LossSum:
        """Each row's weighted loss, ``parameters`` float64 [R, P]."""
        value, _ = self._loss(self.predict(parameters, shard.inputs, shard.axes), shard.targets)
        return LossSum.exact(np.ascontiguousarray(shard.weights), value, executions=1)

    def predict(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Expectation values [R, B, K] for ``inputs`` [R, B, F]."""
        return self.adjoint.expectation(parameters, inputs, axes)

    def _loss(self, expectation: Array, targets: Array) -> tuple[Array, Array]:
        """Losses l [...] and their slopes dl/dE [..., K] at expectation values E [..., K]."""
        return losses.value_and_slope(
            self.loss, self.adjoint.program.head, expectation, targets, self.classes
        )
