"""Exact circuit gradients by adjoint differentiation."""

from __future__ import annotations

from typing import Literal

from orchestrator.config import field_validator, refuse
from orchestrator.engines.backends.base import Backend
from orchestrator.engines.circuit import CircuitEngine
from orchestrator.engines.gradient import Differentiator
from orchestrator.models.base import Built


class Adjoint(CircuitEngine):
    """Exact gradients of a circuit: one simulation forwards, one back, for any number of parameters."""

    engine: Literal["adjoint"]

    @field_validator("backend")
    @classmethod
    def _backend_has_states(cls, backend: Backend) -> Backend:
        if backend.shots is not None or not backend.differentiates:
            raise refuse("must give statevectors, without shots and noise; use engine: parameter-shift")
        return backend

    def prepare(self, model: Built, loss: str, classes: int) -> Differentiator:
        """Makes ready for one circuit and loss.

        Raises:
            InputError: the model is no circuit, the loss does not go with it, or the backend is missing.
        """
        from orchestrator.engines.batched.differentiator import AdjointDifferentiator

        program = self.checked(model, loss, classes)
        return AdjointDifferentiator(self.backend.adjoint(program), loss, classes)

    def shard_bytes(self, model: Built, rows: int, samples: int) -> int:
        """Working memory of one gradient beside the shard itself, in bytes.

        Args:
            model: a circuit.
            rows: R.
            samples: B.
        """
        return self.backend.adjoint_bytes(self.program(model), rows, samples)
