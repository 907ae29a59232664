"""Exact circuit gradients by adjoint differentiation on the batched kernel."""

from __future__ import annotations

from typing import Literal

from orchestrator.engines.base import Engine
from orchestrator.engines.gradient import Differentiator
from orchestrator.errors import InputError
from orchestrator.models import losses
from orchestrator.models.base import Built
from orchestrator.models.program import Program
from orchestrator.process import keep_freed_memory


class Adjoint(Engine):
    """Exact gradients of a circuit: one simulation forwards, one back, for any number of parameters."""

    engine: Literal["adjoint"]

    def differentiates(self, model: Built) -> bool:
        """True for circuits."""
        return isinstance(model, Program)

    def prepare(self, model: Built, loss: str, classes: int) -> Differentiator:
        """Makes ready for one circuit and loss.

        Raises:
            InputError: the model is no circuit, or the loss does not go with it.
        """
        from orchestrator.engines.batched.differentiator import AdjointDifferentiator, BatchedProgram

        program = _program(model)
        losses.check(loss, program.head, program.outputs, classes)
        keep_freed_memory()
        return AdjointDifferentiator(BatchedProgram(program), loss, classes)

    def certify(self, model: Built, seed: int) -> float | None:
        """Largest deviation of one random row's value and two components from Aer; None above 16 qubits.

        Raises:
            CertificateError: it is larger than 1e-9.
        """
        from orchestrator.engines.certificate import certify

        return certify(_program(model), seed)

    def shard_bytes(self, model: Built, rows: int, samples: int) -> int:
        """Working memory of one gradient beside the shard itself, in bytes.

        Args:
            model: a circuit.
            rows: R.
            samples: B.
        """
        from orchestrator.engines.batched.differentiator import working_bytes

        return working_bytes(_program(model), rows, samples)


def _program(model: Built) -> Program:
    if not isinstance(model, Program):
        raise InputError.at("gradient.engine", "adjoint differentiates circuits only, not networks")
    return model
