"""This package's own simulator."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from orchestrator.engines.backends.base import Adjoint, Backend
from orchestrator.models.program import Program


class Batched(Backend):
    """Ideal statevectors of many rows at once, in compiled code on CPUs."""

    kind: Literal["batched"]

    def prepare(self, program: Program) -> Adjoint:
        """The program on the batched kernel."""
        from orchestrator.engines.batched.differentiator import BatchedProgram
        from orchestrator.process import keep_freed_memory

        keep_freed_memory()
        return BatchedProgram(program)

    @property
    def differentiates(self) -> bool:
        """Always."""
        return True

    def adjoint(self, program: Program) -> Adjoint:
        """The same as ``prepare``."""
        return self.prepare(program)

    def adjoint_bytes(self, program: Program, rows: int, samples: int) -> int:
        """Working memory of one adjoint gradient of R rows of B samples, in bytes."""
        from orchestrator.engines.batched.differentiator import working_bytes

        return working_bytes(program, rows, samples)

    def bytes(self, program: Program, points: int) -> int:
        """Working memory of one call on R·B = ``points``, in bytes."""
        from orchestrator.engines.batched.differentiator import working_bytes

        return working_bytes(replace(program, groups=()), points, 1)  # without a Jacobian
