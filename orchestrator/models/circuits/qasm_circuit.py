"""A circuit from an OpenQASM file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from orchestrator.config.base import Field, ValidationInfo, field_validator
from orchestrator.config.files import content, located
from orchestrator.errors import Fault, InputError
from orchestrator.models.circuits.user_circuit import UserCircuit

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from orchestrator.models.circuits.ansatz import StateAt
    from orchestrator.models.circuits.openqasm.reading import Reading

_MOST_FAULTS = 10
"""Of a file, that are listed."""


MOST_BYTES = 4 << 20
"""Of a file; the parser takes ``reading.MOST_CHARACTERS`` of up to four bytes each."""


class QasmCircuit(UserCircuit):
    """An OpenQASM 2 or 3 program; the ``input float`` and ``input angle`` variables of 3 are parameters.

    Attributes:
        qasm: path of the file; a relative one starts at the sweep file's folder.
        train: ``angles`` makes each constant angle of a gate a parameter as well, named ``line:column``
            after its place, which starts at its value; angles in the definitions of gates stay constant.
    """

    variant: ClassVar[str] = "qasm"
    kind: Literal["circuit"]
    qasm: str = Field(min_length=1)
    train: Literal["angles"] | None = None

    @field_validator("qasm")
    @classmethod
    def _resolved(cls, qasm: str, info: ValidationInfo) -> str:
        return located(qasm, info)

    def identity(self) -> dict[str, Any]:
        """The configuration with the SHA-256 of the file's content in the place of its path.

        Raises:
            InputError: at ``model.qasm``, the file cannot be read.
        """
        return super().identity() | {"qasm": f"sha256:{self.fingerprint()}"}

    def files(self) -> Iterator[Path]:
        """The program."""
        yield Path(self.qasm)

    def fingerprint(self) -> str:
        """SHA-256 of the file's content."""
        return hashlib.sha256(self._text().encode()).hexdigest()

    def fingerprints(self) -> dict[str, str]:
        """That of the file."""
        return {self.qasm: self.fingerprint()}

    @property
    def label(self) -> str:
        """What a message calls it."""
        return f"circuit {Path(self.qasm).name}"

    def circuit(self) -> QuantumCircuit:
        """The circuit, as Qiskit's importer reads it.

        Raises:
            InputError: at ``model.qasm``, the file cannot be read, or has parts that are not read; at
                ``model.train``, it is OpenQASM 2 and nothing is trained.
        """
        reading = self._reading()
        if reading.version == 2 and self.train is None:
            raise InputError.at(
                "model.train",
                f"is missing: {self.qasm} is OpenQASM 2, which has no parameters; "
                "train: angles makes each angle of its gates one, which starts at its value",
            )
        return reading.circuit.copy()

    def starts(self) -> Mapping[str, float]:
        """By name of the parameter, the value that it starts from, where that is not drawn.

        Raises:
            InputError: as ``circuit``.
        """
        return self._reading().starts

    @property
    def state_at(self) -> StateAt:
        """The circuit's state, read from the file a second time; see ``openqasm.simulation``."""
        from orchestrator.models.circuits.openqasm.simulation import statevector

        return partial(statevector, self._text())

    def _reading(self) -> Reading:
        from orchestrator.models.circuits.openqasm.reading import read

        try:
            return read(self._text(), self.train == "angles")
        except ExceptionGroup as refusals:
            reasons = [str(refusal) for refusal in refusals.exceptions]
            more = [f"{len(reasons) - _MOST_FAULTS} more faults"] if len(reasons) > _MOST_FAULTS else []
            faults = [f"{self.qasm}, {reason}" for reason in reasons[:_MOST_FAULTS]] + more
            raise InputError(Fault("model.qasm", fault) for fault in faults) from refusals

    def _text(self) -> str:
        try:
            text = content(self.qasm, MOST_BYTES).decode("utf-8")
            return text.replace("\r\n", "\n").replace("\r", "\n")  # one id, whatever ends its lines
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError.at("model.qasm", f"{self.qasm} cannot be read: {reason}") from error
