"""Configuration of this package's own simulator."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from orchestrator.backends.base import AdjointEvaluator, Backend, Precision
from orchestrator.config.base import refuse
from orchestrator.models.circuits.program import Program

SMALLEST_STEP = 0.01
"""Smallest difference step in complex64, in radians. An error of 1e-6 in E becomes 1e-4 in the derivative."""


class Batched(Backend):
    """Ideal statevectors of many samples per call, in compiled code on CPUs.

    Attributes:
        precision: type of amplitudes. ``complex64`` is faster, needs half the memory, and adds an error of
            about 1e-7 per layer of gates. Angles and sums are in float64 in both.
    """

    kind: Literal["batched"]
    precision: Precision = "complex128"

    def prepare(self, program: Program) -> AdjointEvaluator:
        """Prepares a program for the batched kernel."""
        from orchestrator.backends.batched.differentiator import BatchedProgram
        from orchestrator.process import keep_freed_memory

        keep_freed_memory()
        return BatchedProgram(program, self.precision)

    def check_step(self, step: float) -> None:
        """Refuses a difference step, in radians, that is too small for the precision of E."""
        if self.precision == "complex64" and step < SMALLEST_STEP:
            raise refuse(
                f"is {step:g}, must be {SMALLEST_STEP:g} or more with precision: complex64, in which "
                "expectation values have errors of about 1e-6"
            )

    @property
    def differentiates(self) -> bool:
        """True."""
        return True

    def adjoint(self, program: Program) -> AdjointEvaluator:
        """Prepares a program for the batched kernel, which differentiates every program."""
        return self.prepare(program)

    def adjoint_bytes(self, program: Program, rows: int, samples: int) -> int:
        """Returns the working memory, in bytes, of one adjoint gradient of R rows of B samples."""
        from orchestrator.backends.batched.differentiator import working_bytes

        return working_bytes(program, rows, samples, self.precision)

    def bytes(self, program: Program, points: int) -> int:
        """Returns the working memory, in bytes, of one call on R·B = ``points``."""
        from orchestrator.backends.batched.differentiator import working_bytes

        return working_bytes(replace(program, groups=()), points, 1, self.precision)  # without a Jacobian
