"""This package's own simulator."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from orchestrator.backends.base import AdjointEvaluator, Backend, Precision
from orchestrator.config.base import refuse
from orchestrator.models.circuits.program import Program

SMALLEST_STEP = 0.01
"""Of differences in complex64; an error of 1e-6 in E makes 1e-4 in the derivative."""


class Batched(Backend):
    """Ideal statevectors of many rows at once, in compiled code on CPUs.

    Attributes:
        precision: of amplitudes. ``complex64`` is faster, needs half the memory, and errs by about 1e-7 for
            each layer of gates; angles and sums are in float64 either way.
    """

    kind: Literal["batched"]
    precision: Precision = "complex128"

    def prepare(self, program: Program) -> AdjointEvaluator:
        """The program on the batched kernel."""
        from orchestrator.backends.batched.differentiator import BatchedProgram
        from orchestrator.process import keep_freed_memory

        keep_freed_memory()
        return BatchedProgram(program, self.precision)

    def check_step(self, step: float) -> None:
        """Refuses a step of differences in which rounding would be larger than what it is for."""
        if self.precision == "complex64" and step < SMALLEST_STEP:
            raise refuse(
                f"is {step:g}, must be {SMALLEST_STEP:g} or more with precision: complex64, in which "
                "expectation values err by some 1e-6"
            )

    @property
    def differentiates(self) -> bool:
        """Always."""
        return True

    def adjoint(self, program: Program) -> AdjointEvaluator:
        """The same as ``prepare``."""
        return self.prepare(program)

    def adjoint_bytes(self, program: Program, rows: int, samples: int) -> int:
        """Working memory of one adjoint gradient of R rows of B samples, in bytes."""
        from orchestrator.backends.batched.differentiator import working_bytes

        return working_bytes(program, rows, samples, self.precision)

    def bytes(self, program: Program, points: int) -> int:
        """Working memory of one call on R·B = ``points``, in bytes."""
        from orchestrator.backends.batched.differentiator import working_bytes

        return working_bytes(replace(program, groups=()), points, 1, self.precision)  # without a Jacobian
