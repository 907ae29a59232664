"""Circuit gradients by the parameter-shift rule, as a quantum processor can measure them."""

from __future__ import annotations

from typing import Literal

from orchestrator.backends.base import AdjointEvaluator
from orchestrator.engines.measured.shifts import ShiftedProgram, Shifts, parameter_shift_rule
from orchestrator.engines.shifted import ShiftEngine
from orchestrator.models.circuits.program import Program


class ParameterShift(ShiftEngine):
    """Two evaluations of the circuit per trainable rotation, and one more for the loss."""

    engine: Literal["parameter-shift"]

    def shifts(self, program: Program) -> tuple[Program, Shifts]:
        """Shifts every trainable rotation in the light cone up and down by π/2."""
        return parameter_shift_rule(program, self.backend.live_gates(program))

    def pullback(self, program: Program) -> AdjointEvaluator:
        """Prepares a circuit of a layered model for derivatives by shifts."""
        from orchestrator.engines.measured.meter import Meter

        evaluated, shifts = self.shifts(program)
        return ShiftedProgram(program, shifts, Meter.of(self.backend, evaluated, shifts.executions))

    def pullback_bytes(self, program: Program, rows: int, samples: int) -> int:
        """Working memory of one call of a ``pullback``, in bytes."""
        return self.circuit_bytes(program, rows, samples)
