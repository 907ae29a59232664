"""A circuit that a Python function of the user returns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from orchestrator.config.base import Field, FrozenDict, ValidationInfo, field_validator, refuse
from orchestrator.config.files import absolute_path
from orchestrator.config.text import show
from orchestrator.errors import InputError
from orchestrator.models.circuits.program import Program
from orchestrator.models.circuits.user_circuit import UserCircuit
from orchestrator.user_code import NAME, Function, errors_as_faults

if TYPE_CHECKING:
    from qiskit import QuantumCircuit


class PythonCircuit(UserCircuit):
    """The ``QuantumCircuit`` that a Python function returns.

    The trial's id covers the syntax trees of the function's module and of the modules that it imports from
    ``folder``. Every machine that computes must find these files in the same folder, or the module in a
    trusted package (``user_code``).

    Attributes:
        python: ``package.module:function``.
        arguments: the function's keyword arguments.
        folder: the module's folder; the sweep file's folder if left out.
    """

    variant: ClassVar[str] = "python"
    kind: Literal["circuit"]
    python: str
    arguments: FrozenDict = FrozenDict()
    folder: str = Field(default="", validate_default=True)

    @field_validator("python")
    @classmethod
    def _named(cls, python: str) -> str:
        if not NAME.fullmatch(python):
            raise refuse(f"is {show(python)}, must be package.module:function")
        return python

    @field_validator("folder")
    @classmethod
    def _resolved(cls, folder: str, info: ValidationInfo) -> str:
        return absolute_path(folder, info)

    def identity(self) -> dict[str, Any]:
        """Returns the configuration with the files' fingerprint instead of the module's name and folder.

        Raises:
            InputError: at ``model.python``: there is no such module, or a file cannot be read.
        """
        identity = super().identity()
        del identity["folder"]
        function = self.python.partition(":")[2]
        return identity | {"python": f"sha256:{self.fingerprint()}:{function}"}

    def files(self) -> Iterator[Path]:
        """Yields the files of the module and of its imports, as far as they are in ``folder``."""
        yield from self._function.files()

    def calls(self) -> Iterator[tuple[str, Path]]:
        """Yields the function and its file."""
        yield self.python, self._function.file

    def fingerprint(self) -> str:
        """Returns the SHA-256 of the syntax trees of the module and of its imports from ``folder``."""
        return self._function.fingerprint()

    def fingerprints(self) -> dict[str, str]:
        """Returns a hash of the module and of each of its imports from ``folder``, by path."""
        return self._function.fingerprints()

    @property
    def label(self) -> str:
        """The circuit's name in messages."""
        return f"circuit of {self.python}"

    @property
    def _function(self) -> Function:
        return Function(self.python, self.folder, "model")

    def program(self, features: int, fed: bool = False) -> Program:
        """Reads the circuit, as ``AnyCircuit.program`` does; faults name the function.

        Raises:
            InputError: with every fault.
        """
        # The circuit may hold classes of the user's own, whose code runs while it is read.
        culprit = f"reading what {self.python} returns"
        with errors_as_faults("model.python", culprit, self._function.file):
            return super().program(features, fed)

    def circuit(self) -> QuantumCircuit:
        """Executes the module anew, calls the function, and returns its circuit.

        Raises:
            InputError: at ``model.python``, ``model.folder`` or ``model.arguments``.
        """
        from qiskit import QuantumCircuit

        circuit = self._function(self.arguments)
        if not isinstance(circuit, QuantumCircuit):
            kind = type(circuit).__name__
            message = f"{self.python} returned an object of type {kind}, must return a QuantumCircuit"
            raise InputError.at("model.python", message)
        return circuit
