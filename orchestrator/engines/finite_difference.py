"""Circuit gradients by central differences."""

from __future__ import annotations

from typing import Literal

from orchestrator.config.base import Field, ValidationInfo, field_validator
from orchestrator.engines.gradient import Differentiator
from orchestrator.engines.measured.shifts import Shifts, central_differences
from orchestrator.engines.shifted import ShiftEngine
from orchestrator.models.circuits.program import Program
from orchestrator.models.layered import Layered


class FiniteDifference(ShiftEngine):
    """dE/dθ ≈ (E(θ + h) - E(θ - h)) / 2h: two evaluations per parameter, and one more for the loss.

    Attributes:
        step: h, radians. The error is h²E'''/6, and rounding adds 1e-16/h to exact values. With shots the
            standard deviation is 1/h times that of E, so take h of 0.1 or more.
    """

    engine: Literal["finite-difference"]
    step: float = Field(default=1e-5, gt=0.0, validate_default=True)

    @field_validator("step")
    @classmethod
    def _check_step(cls, step: float, info: ValidationInfo) -> float:
        if (backend := info.data.get("backend")) is not None:
            backend.check_step(step)
        return step

    def shifts(self, program: Program) -> tuple[Program, Shifts]:
        """Shifts every live parameter up and down by the step."""
        return program, central_differences(program.parameters, self.live_parameters(program), self.step)

    def prepare_layers(self, model: Layered, loss: str, classes: int) -> Differentiator:
        """Prepares the Differentiator of a layered model, which is evaluated as a whole."""
        from orchestrator.engines.measured.forward import forward_meter
        from orchestrator.engines.measured.loss import MeasuredLoss
        from orchestrator.engines.measured.shifts import ShiftDifferentiator

        shifts = central_differences(model.parameters, self.live_parameters(model), self.step)
        meter = forward_meter(model, self.backend)
        return ShiftDifferentiator(shifts, meter, MeasuredLoss(loss, model.head, classes))

    def layers_bytes(self, model: Layered, rows: int, samples: int) -> int:
        """Working memory of one gradient of a layered model, in bytes."""
        from orchestrator.engines.measured.forward import working_bytes

        return working_bytes(model, self.backend, 2 * model.parameters, rows, samples)
