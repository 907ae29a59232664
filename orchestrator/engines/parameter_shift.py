"""Circuit gradients by the parameter-shift rule, as a quantum processor can measure them."""

from __future__ import annotations

from typing import Literal

from orchestrator.engines.backends.base import Adjoint
from orchestrator.engines.measured.shifts import ShiftedProgram, Shifts, of_rotations
from orchestrator.engines.shifted import ShiftEngine
from orchestrator.errors import InputError
from orchestrator.models.program import Program


class ParameterShift(ShiftEngine):
    """Two evaluations of the circuit for each trainable rotation, and one more for the loss."""

    engine: Literal["parameter-shift"]

    def shifts(self, program: Program) -> tuple[Program, Shifts]:
        """Every trainable rotation that the observable can feel, up and down by π/2.

        Raises:
            InputError: an angle is not linear in one parameter.
        """
        if program.angles:
            message = (
                "shifts angles, but some here are functions of parameters; use adjoint or finite-difference"
            )
            raise InputError.at("gradient.engine", message)
        return of_rotations(program, self.backend.reached(program))

    def pullback(self, program: Program) -> Adjoint:
        """The circuit with derivatives by shifts."""
        evaluated, shifts = self.shifts(program)
        return ShiftedProgram(program, shifts, self.backend.prepare(evaluated))

    def pullback_bytes(self, program: Program, rows: int, samples: int) -> int:
        """Working memory of one call of it, in bytes."""
        count = rows * samples
        numbers = count * (program.parameters + 4 * program.outputs) + rows * len(program.gates)
        return 8 * numbers + self.backend.bytes(program, count)
