"""A circuit from an OpenQASM file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from orchestrator.config.base import Field, ValidationInfo, field_validator
from orchestrator.config.files import absolute_path, read_regular_file
from orchestrator.errors import Fault, InputError
from orchestrator.models.circuits.user_circuit import UserCircuit

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from orchestrator.models.circuits.ansatz import StateAt
    from orchestrator.models.circuits.openqasm.reading import Reading

_MOST_FAULTS = 10
"""Faults of a file that are listed; the others are counted."""

MOST_BYTES = 4 << 20
"""Size limit of a file: ``reading.MOST_CHARACTERS`` characters of up to four bytes each."""


class QasmCircuit(UserCircuit):
    """An OpenQASM 2 or 3 program; the ``input float`` and ``input angle`` variables of 3 are parameters.

    Attributes:
        qasm: path of the file; a relative path starts at the sweep file's folder.
        train: ``angles`` makes each constant angle of a gate a parameter too. The parameter is named
            ``line:column`` after the angle's position, and starts at its value. Angles in the definitions of
            gates stay constant.
    """

    variant: ClassVar[str] = "qasm"
    kind: Literal["circuit"]
    qasm: str = Field(min_length=1)
    train: Literal["angles"] | None = None

    @field_validator("qasm")
    @classmethod
    def _resolved(cls, qasm: str, info: ValidationInfo) -> str:
        return absolute_path(qasm, info)

    def identity(self) -> dict[str, Any]:
        """Returns the configuration with the SHA-256 of the file's content instead of its path.

        Raises:
            InputError: at ``model.qasm``: the file cannot be read.
        """
        return super().identity() | {"qasm": f"sha256:{self.fingerprint()}"}

    def files(self) -> Iterator[Path]:
        """Yields the file."""
        yield Path(self.qasm)

    def fingerprint(self) -> str:
        """Returns the SHA-256 of the file's content."""
        return hashlib.sha256(self._text().encode()).hexdigest()

    def fingerprints(self) -> dict[str, str]:
        """Returns the fingerprint of the file, by its path."""
        return {self.qasm: self.fingerprint()}

    @property
    def label(self) -> str:
        """The circuit's name in messages."""
        return f"circuit {Path(self.qasm).name}"

    def circuit(self) -> QuantumCircuit:
        """Returns the circuit, as Qiskit's importer reads it.

        Raises:
            InputError: at ``model.qasm``: the file cannot be read, or has statements that are not supported;
                at ``model.train``: the file is OpenQASM 2 and nothing is trained.
        """
        reading = self._reading()
        if reading.version == 2 and self.train is None:
            raise InputError.at(
                "model.train",
                f"is missing: {self.qasm} is OpenQASM 2, which has no parameters; "
                "train: angles makes each angle of a gate a parameter that starts at the angle's value",
            )
        return reading.circuit.copy()

    def starts(self) -> Mapping[str, float]:
        """Returns the initial values, by parameter, of the trained angles.

        Raises:
            InputError: as ``circuit``.
        """
        return self._reading().starts

    @property
    def state_at(self) -> StateAt:
        """The function that simulates a second reading of the file (``openqasm.simulation``)."""
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
            text = read_regular_file(self.qasm, MOST_BYTES).decode("utf-8")
            return text.replace("\r\n", "\n").replace("\r", "\n")  # one id for all line endings
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError.at("model.qasm", f"{self.qasm} cannot be read: {reason}") from error
