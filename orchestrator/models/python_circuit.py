"""A circuit from a Python function of the user's own."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from modulefinder import ModuleFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from orchestrator.config import Field, FrozenDict, ValidationInfo, field_validator, located, refuse, show
from orchestrator.errors import InputError
from orchestrator.models.syntax import syntax_digest
from orchestrator.models.user_circuit import UserCircuit

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

_NAME = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<function>[^\W\d]\w*)")


class PythonCircuit(UserCircuit):
    """What a Python function returns: a ``QuantumCircuit``.

    The trial's id covers the syntax tree of the function's module, not of what that imports. Every machine
    that computes must find the module in the same folder, or on Python's own path.

    Attributes:
        python: ``package.module:function``.
        arguments: the function's keyword arguments.
        folder: looked into before Python's own path; the sweep file's folder if left out.
    """

    variant: ClassVar[str] = "python"
    kind: Literal["circuit"]
    python: str
    arguments: FrozenDict = FrozenDict()
    folder: str = Field(default="", validate_default=True)

    @field_validator("python")
    @classmethod
    def _named(cls, python: str) -> str:
        if not _NAME.fullmatch(python):
            raise refuse(f"is {show(python)}, must be package.module:function")
        return python

    @field_validator("folder")
    @classmethod
    def _resolved(cls, folder: str, info: ValidationInfo) -> str:
        return located(folder, info)

    def identity(self) -> dict[str, Any]:
        """The configuration with the SHA-256 of the module's syntax in the place of its name and folder.

        Raises:
            InputError: at ``model.python``, there is no such module.
        """
        identity = super().identity()
        del identity["folder"]
        return identity | {"python": f"sha256:{self.fingerprint()}:{self._parts[1]}"}

    def files(self) -> Iterator[Path]:
        """The module and whatever it imports, as far as they are in ``folder``."""
        origin = Path(str(self._source()[0].origin))
        if not origin.is_relative_to(self.folder):
            return
        finder = ModuleFinder([self.folder])
        with suppress(ImportError):  # a module in a folder without __init__.py
            finder.import_hook(self._parts[0])
        sources = {getattr(module, "__file__", None) for module in finder.modules.values()}
        yield from sorted({origin, *(Path(source) for source in sources if source)})

    def fingerprint(self) -> str:
        """SHA-256 of the module's syntax tree."""
        return syntax_digest(self._source()[1])

    @property
    def label(self) -> str:
        """What a message calls it."""
        return f"circuit of {self.python}"

    @property
    def _parts(self) -> tuple[str, str]:
        module, _, function = self.python.partition(":")
        return module, function

    def circuit(self) -> QuantumCircuit:
        """What the function returns; the module is executed anew.

        Raises:
            InputError: at ``model.python`` or ``model.arguments``.
        """
        from qiskit import QuantumCircuit

        with _importable(self.folder):
            function = getattr(self._module(), self._parts[1], None)
            if not callable(function):
                raise _refused(f"{self._parts[0]} has no function {self._parts[1]}")
            try:
                circuit = function(**self.arguments)
            except Exception as error:  # whatever the user's code raises
                raise InputError.at("model.arguments", f"{self.python} raised {_said(error)}") from error
        if not isinstance(circuit, QuantumCircuit):
            raise _refused(f"{self.python} returned a {type(circuit).__name__}, must return a QuantumCircuit")
        return circuit

    def _module(self) -> ModuleType:
        """The module, made of the same bytes that the id covers."""
        spec, source = self._source()
        module = module_from_spec(spec)
        sys.modules[spec.name] = module
        try:
            if spec.parent:
                importlib.import_module(spec.parent)
            exec(compile(source, str(spec.origin), "exec"), vars(module))
        except Exception as error:  # whatever the user's code raises
            raise _refused(f"{spec.origin} raised {_said(error)}") from error
        return module

    def _source(self) -> tuple[ModuleSpec, bytes]:
        """Where the module is, found without importing anything, and its source."""
        importlib.invalidate_caches()
        path: list[str] | None = [self.folder, *sys.path]
        names = self._parts[0].split(".")
        for depth in range(1, len(names) + 1):
            spec = PathFinder.find_spec(".".join(names[:depth]), path)
            path = list((spec and spec.submodule_search_locations) or ())
        if spec is None or not spec.origin or not spec.origin.endswith(".py"):
            raise _refused(f"there is no module {self._parts[0]} in {self.folder} or on Python's path")
        return spec, Path(spec.origin).read_bytes()


@contextmanager
def _importable(folder: str) -> Iterator[None]:
    """Puts a folder in front of Python's path."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _refused(message: str) -> InputError:
    return InputError.at("model.python", message)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
