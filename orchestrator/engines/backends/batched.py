"""This package's own simulator."""

from __future__ import annotations

from typing import Literal

from orchestrator.engines.backends.base import Backend, Evaluator
from orchestrator.models.program import Program


class Batched(Backend):
    """Ideal statevectors of many rows at once, in compiled code on CPUs."""

    kind: Literal["batched"]

    def prepare(self, program: Program) -> Evaluator:
        """The program on the batched kernel."""
        from orchestrator.engines.batched.differentiator import BatchedProgram
        from orchestrator.process import keep_freed_memory

        keep_freed_memory()
        return BatchedProgram(program)

    def bytes(self, program: Program, points: int) -> int:
        """Working memory of one call on R·B = ``points``, in bytes."""
        from orchestrator.engines.batched.differentiator import working_bytes

        return working_bytes(program, points, 1)
