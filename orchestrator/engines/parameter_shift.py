"""Circuit gradients by the parameter-shift rule, as a quantum processor can measure them."""

from __future__ import annotations

from typing import Literal

from orchestrator.engines.measured.shifts import Shifts, of_rotations
from orchestrator.engines.shifted import ShiftEngine
from orchestrator.errors import InputError
from orchestrator.models.program import Program


class ParameterShift(ShiftEngine):
    """Two evaluations of the circuit for each trainable rotation, and one more for the loss."""

    engine: Literal["parameter-shift"]

    def shifts(self, program: Program) -> Shifts:
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
