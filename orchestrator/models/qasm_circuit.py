"""A circuit from an OpenQASM 3 file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from orchestrator.config import Field, ValidationInfo, field_validator, located
from orchestrator.errors import InputError
from orchestrator.models.user_circuit import UserCircuit

if TYPE_CHECKING:
    from qiskit import QuantumCircuit


class QasmCircuit(UserCircuit):
    """An OpenQASM 3 program; its ``input float`` and ``input angle`` variables are the parameters.

    Attributes:
        qasm: path of the file; a relative one starts at the sweep file's folder.
    """

    variant: ClassVar[str] = "qasm"
    kind: Literal["circuit"]
    qasm: str = Field(min_length=1)

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

    @property
    def label(self) -> str:
        """What a message calls it."""
        return f"circuit {Path(self.qasm).name}"

    def circuit(self) -> QuantumCircuit:
        """The circuit, as Qiskit's importer reads it.

        Raises:
            InputError: at ``model.qasm``, the file cannot be read, or is no OpenQASM 3 that Qiskit knows.
        """
        from qiskit import qasm3

        text = self._text()
        try:
            return qasm3.loads(text)
        except Exception as error:  # the parser's and the importer's own kinds
            reason = " ".join(str(error).split())
            raise InputError.at(
                "model.qasm", f"{self.qasm} cannot be read as OpenQASM 3: {reason}"
            ) from error

    def _text(self) -> str:
        try:
            return Path(self.qasm).read_text("utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError.at("model.qasm", f"{self.qasm} cannot be read: {reason}") from error
