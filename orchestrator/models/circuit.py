"""A variational circuit."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from orchestrator.config import Field
from orchestrator.errors import Fault, InputError
from orchestrator.models.base import Model
from orchestrator.models.program import Program

if TYPE_CHECKING:
    from orchestrator.models.ansatz import Drawing


class Circuit(Model):
    """A feature map, an ansatz, and an observable whose expectation value is the prediction.

    Trainable angles start uniform in [0, 2π). Groups are the ansatz's layers of rotations; Qiskit's
    ``real-amplitudes`` and ``efficient-su2`` have one more than ``layers``, behind the last entanglement.

    Attributes:
        qubits: number of qubits.
        layers: repetitions of the ansatz.
        ansatz: ``hardware-efficient`` (RY and RZ on each qubit, then CX 0-1, 1-2, …), Qiskit's
            ``real-amplitudes`` and ``efficient-su2``, or ``random-pauli`` of McClean et al. 2018
            (arXiv 1803.11173), whose rotation axes are drawn anew in every step.
        encoding: ``angle`` is RY(x_q) on qubit q for each feature; there is none without data.
        observable: Pauli string as Qiskit writes it (``ZIII``: Z on qubit 3) or sparse (``Z0 Z1``);
            Z on the last qubit if left out.
    """

    kind: Literal["circuit"]
    qubits: int = Field(ge=1)
    layers: int = Field(ge=1)
    ansatz: Literal["hardware-efficient", "real-amplitudes", "efficient-su2", "random-pauli"] = (
        "hardware-efficient"
    )
    encoding: Literal["angle"] = "angle"
    observable: str | None = None

    def build(self, features: int, classes: int) -> Program:  # noqa: ARG002 - one E, whatever the classes
        """The circuit for data of ``features`` columns; nothing of size 2^qubits is allocated.

        Raises:
            InputError: at ``model.qubits`` or ``model.observable``.
        """
        from orchestrator.models.reading import read

        faults = [*self._too_few_qubits(features), *self._observable_faults()]
        if faults:
            raise InputError(faults)
        return read(partial(self.draw, features), self.label)

    @property
    def label(self) -> str:
        """What a message calls it."""
        observable = self.observable or f"Z{self.qubits - 1}"
        return (
            f"{self.ansatz} circuit of {self.qubits} qubits and {self.layers} layers, observable {observable}"
        )

    def draw(self, features: int) -> Drawing:
        """The circuit in Qiskit's terms."""
        from orchestrator.models.ansatz import draw
        from orchestrator.models.observable import pauli_string

        return draw(self.ansatz, self.layers, features, pauli_string(self.observable, self.qubits))

    def _too_few_qubits(self, features: int) -> list[Fault]:
        if features <= self.qubits:
            return []
        message = f"is {self.qubits}, but encoding: angle needs a qubit for each of the {features} features"
        return [Fault("model.qubits", f"{message}; use {features} or more, or data.features: {self.qubits}")]

    def _observable_faults(self) -> tuple[Fault, ...]:
        from orchestrator.models.observable import pauli_string

        try:
            pauli_string(self.observable, self.qubits)
        except InputError as error:
            return error.faults
        return ()
