"""What the engines for circuits share."""

from __future__ import annotations

from typing import Annotated

from orchestrator.config import OneOf
from orchestrator.engines.backends.base import Backend
from orchestrator.engines.backends.batched import Batched
from orchestrator.engines.base import Engine
from orchestrator.engines.measured.loss import BIASED
from orchestrator.errors import InputError
from orchestrator.models import losses
from orchestrator.models.base import Built
from orchestrator.models.program import Program


class CircuitEngine(Engine):
    """An engine that differentiates circuits.

    Attributes:
        backend: what evaluates them.
    """

    backend: Annotated[Backend, OneOf()] = Batched(kind="batched")

    def differentiates(self, model: Built) -> bool:
        """True for circuits."""
        return isinstance(model, Program)

    @property
    def gpus(self) -> int:
        """Number of GPUs that the backend needs."""
        return self.backend.gpus

    def check(self) -> None:
        """Raises InputError if this process lacks what the backend needs."""
        self.backend.check()

    def biased(self, loss: str) -> bool:
        """Whether shots bias the loss and its gradient."""
        return self.backend.shots is not None and loss in BIASED

    def certify(self, model: Built, seed: int) -> float | None:
        """Largest deviation of one random row's value and two components from Aer, on the batched kernel.

        None above 16 qubits, and on Aer itself.

        Raises:
            CertificateError: it is larger than 1e-9.
        """
        from orchestrator.engines.certificate import certify

        program = self.program(model)
        return certify(program, seed) if isinstance(self.backend, Batched) else None

    def program(self, model: Built) -> Program:
        """The model, if it is a circuit; raises InputError at ``gradient.engine`` if not."""
        if not isinstance(model, Program):
            message = f"{self.engine} differentiates circuits only, not networks"
            raise InputError.at("gradient.engine", message)
        return model

    def checked(self, model: Built, loss: str, classes: int) -> Program:
        """The circuit; raises InputError if the model is none, or the loss does not go with it."""
        program = self.program(model)
        losses.check(loss, program.head, program.outputs, classes)
        if program.projector and (reason := self.backend.no_projector):
            raise InputError.at("model.observable", f"is a projector, which {reason}")
        return program
