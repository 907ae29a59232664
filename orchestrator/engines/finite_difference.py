"""Circuit gradients by central differences."""

from __future__ import annotations

from typing import Literal

from orchestrator.config import Field
from orchestrator.engines.measured.shifts import Shifts, of_parameters
from orchestrator.engines.shifted import ShiftEngine
from orchestrator.models.program import Program


class FiniteDifference(ShiftEngine):
    """dE/dθ ≈ (E(θ + h) - E(θ - h)) / 2h: two evaluations for each parameter, and one more for the loss.

    Attributes:
        step: h, radians. The error is h²E'''/6 and, when exact, rounding of 1e-16/h; with shots the standard
            deviation is 1/h times that of E, so take h of 0.1 or more.
    """

    engine: Literal["finite-difference"]
    step: float = Field(default=1e-5, gt=0.0)

    def shifts(self, program: Program) -> Shifts:
        """Every parameter that the observable can feel, up and down by the step."""
        return of_parameters(program, self.backend.reached(program), self.step)
