"""Exact circuit gradients by adjoint differentiation."""

from __future__ import annotations

from typing import Literal

from orchestrator.config import field_validator, refuse
from orchestrator.engines.backends.base import Adjoint as AdjointProgram
from orchestrator.engines.backends.base import Backend
from orchestrator.engines.circuit import CircuitEngine
from orchestrator.engines.gradient import Differentiator
from orchestrator.models.base import Built
from orchestrator.models.program import Program


class Adjoint(CircuitEngine):
    """Exact gradients of a circuit: one simulation forwards, one back, for any number of parameters."""

    engine: Literal["adjoint"]

    @field_validator("backend")
    @classmethod
    def _backend_has_states(cls, backend: Backend) -> Backend:
        if backend.shots is not None or not backend.differentiates:
            raise refuse("must give statevectors, without shots and noise; use engine: parameter-shift")
        return backend

    def passes(self, model: Built) -> float:  # noqa: ARG002
        """Forwards, and backwards with two states."""
        return 3.0

    def alone(self, program: Program, loss: str, classes: int) -> Differentiator:
        """Makes ready for a circuit."""
        from orchestrator.engines.batched.differentiator import AdjointDifferentiator

        return AdjointDifferentiator(self.pullback(program), loss, classes)

    def pullback(self, program: Program) -> AdjointProgram:
        """The circuit on the backend."""
        return self.backend.adjoint(program)

    def alone_bytes(self, program: Program, rows: int, samples: int) -> int:
        """Working memory of one gradient of a circuit, in bytes."""
        return self.backend.adjoint_bytes(program, rows, samples)

    def pullback_bytes(self, program: Program, rows: int, samples: int) -> int:
        """Working memory of one call of it, in bytes."""
        return self.backend.adjoint_bytes(program, rows, samples)
