"""A circuit from a Python function of the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from orchestrator.config.base import Field, FrozenDict, ValidationInfo, field_validator, refuse
from orchestrator.config.files import located
from orchestrator.config.text import show
from orchestrator.errors import InputError
from orchestrator.models.circuits.program import Program
from orchestrator.models.circuits.user_circuit import UserCircuit
from orchestrator.user_code import NAME, Function, explained

if TYPE_CHECKING:
    from qiskit import QuantumCircuit


class PythonCircuit(UserCircuit):
    """What a Python function returns: a ``QuantumCircuit``.

    The trial's id covers the syntax trees of the function's module and of what that imports from the folder.
    Every machine that computes must find these files in the same folder, or the module in a package that is
    trusted (``user_code``).

    Attributes:
        python: ``package.module:function``.
        arguments: the function's keyword arguments.
        folder: where the module is; the sweep file's folder if left out.
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
        return located(folder, info)

    def identity(self) -> dict[str, Any]:
        """The configuration with the fingerprint of the files in the place of the module's name and folder.

        Raises:
            InputError: at ``model.python``, there is no such module, or a file cannot be read.
        """
        identity = super().identity()
        del identity["folder"]
        function = self.python.partition(":")[2]
        return identity | {"python": f"sha256:{self.fingerprint()}:{function}"}

    def files(self) -> Iterator[Path]:
        """The module and whatever it imports, as far as they are in ``folder``."""
        yield from self._function.files()

    def calls(self) -> Iterator[tuple[str, Path]]:
        """The function and its file."""
        yield self.python, self._function.file

    def fingerprint(self) -> str:
        """SHA-256 over the syntax trees of the module and of what it imports from the folder."""
        return self._function.fingerprint()

    def fingerprints(self) -> dict[str, str]:
        """Those of the module and of what it imports from the folder."""
        return self._function.fingerprints()

    @property
    def label(self) -> str:
        """What a message calls it."""
        return f"circuit of {self.python}"

    @property
    def _function(self) -> Function:
        return Function(self.python, self.folder, "model")

    def program(self, features: int, fed: bool = False) -> Program:
        """See ``AnyCircuit.program``; what the function returns may hold code of the user's, too.

        Raises:
            InputError: with every fault.
        """
        culprit = f"reading what {self.python} returns"
        with explained("model.python", culprit, self._function.file):
            return super().program(features, fed)

    def circuit(self) -> QuantumCircuit:
        """What the function returns; the module is executed anew.

        Raises:
            InputError: at ``model.python``, ``model.folder`` or ``model.arguments``.
        """
        from qiskit import QuantumCircuit

        circuit = self._function(self.arguments)
        if not isinstance(circuit, QuantumCircuit):
            kind = type(circuit).__name__
            message = f"{self.python} returned a {kind}, must return a QuantumCircuit"
            raise InputError.at("model.python", message)
        return circuit
