"""What the engines share that evaluate a circuit at shifted angles."""

from __future__ import annotations

from orchestrator.engines.circuit import CircuitEngine
from orchestrator.engines.gradient import Differentiator
from orchestrator.engines.measured.shifts import Shifts
from orchestrator.models.base import Built
from orchestrator.models.program import Program


class ShiftEngine(CircuitEngine):
    """An engine that is told by its ``Shifts``."""

    def shifts(self, program: Program) -> Shifts:
        """Where a program is evaluated."""
        raise NotImplementedError

    def prepare(self, model: Built, loss: str, classes: int) -> Differentiator:
        """Makes ready for one circuit and loss.

        Raises:
            InputError: the model is no circuit, the loss does not go with it, or the backend is missing.
        """
        from orchestrator.engines.measured.loss import MeasuredLoss
        from orchestrator.engines.measured.meter import Meter
        from orchestrator.engines.measured.shifts import ShiftDifferentiator

        program = self.checked(model, loss, classes)
        shifts = self.shifts(program)
        meter = Meter.of(self.backend, shifts.program, 1 + 2 * len(shifts.moved))
        return ShiftDifferentiator(
            shifts, meter, MeasuredLoss(loss, program.head, classes, self.backend.shots)
        )

    def shard_bytes(self, model: Built, rows: int, samples: int) -> int:
        """Working memory of one gradient beside the shard itself, in bytes.

        Args:
            model: a circuit.
            rows: R.
            samples: B.
        """
        from orchestrator.engines.measured.sums import working_bytes

        program = self.program(model)
        settings = 2 * len(self.shifts(program).moved)
        return working_bytes(program, self.backend, settings, rows, samples)
