"""The base class of the engines that evaluate a circuit at shifted angles."""

from __future__ import annotations

from orchestrator.engines.circuit import CircuitEngine
from orchestrator.engines.gradient import Differentiator
from orchestrator.engines.measured.shifts import Shifts
from orchestrator.models.base import Built
from orchestrator.models.circuits.program import Program


class ShiftEngine(CircuitEngine):
    """An engine that is defined by its ``Shifts``."""

    def shifts(self, program: Program) -> tuple[Program, Shifts]:
        """Returns the program that is evaluated for a circuit, and the shifts of its parameters."""
        raise NotImplementedError

    def passes(self, model: Built) -> float:
        """Two per parameter, and one for the loss."""
        return 1.0 + 2.0 * model.parameters

    def prepare_circuit(self, program: Program, loss: str, classes: int) -> Differentiator:
        """Prepares the Differentiator of a circuit."""
        from orchestrator.engines.measured.loss import MeasuredLoss
        from orchestrator.engines.measured.meter import Meter
        from orchestrator.engines.measured.shifts import ShiftDifferentiator

        evaluated, shifts = self.shifts(program)
        meter = Meter.of(self.backend, evaluated, shifts.executions)
        measured_loss = MeasuredLoss(loss, program.head, classes)
        return ShiftDifferentiator(shifts, meter, measured_loss)

    def circuit_bytes(self, program: Program, rows: int, samples: int) -> int:
        """Working memory of one gradient of a circuit, in bytes."""
        from orchestrator.engines.measured.sums import working_bytes

        settings = 2 * len(self.shifts(program)[1].shifted)
        return working_bytes(program, self.backend, settings, rows, samples)
