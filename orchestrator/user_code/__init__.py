"""The one door to users' code: whose is executed, how it is found and loaded, what becomes of its errors.

Code is executed if it lies in or below a trusted folder (that of the sweep file, and those that ``--trust``
names), or in a package on Python's own path that ``--trust`` names. What is trusted is a state of the
process: ``sweep.file.load`` sets it, ``training.worker.Preparation`` takes it to the workers. No run keeps
it.

Modules in folders are loaded under a name of their own, ``_user_code_….module``, so they replace none that
has the same name. Their ``import`` statements find their neighbours in the folder, unless Python itself or
an installed package has that name. A module and those that these statements name are read together: what
the fingerprint is of, what is shipped, and what is executed come from one list.
"""

from __future__ import annotations

import importlib
import re
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from orchestrator.errors import InputError
from orchestrator.user_code.faults import errors_as_faults
from orchestrator.user_code.modules import anew
from orchestrator.user_code.sources import Sources, contents, source
from orchestrator.user_code.trust import VARIABLE, Trust, allow, link, seen, trusted, way_out

__all__ = ["NAME", "VARIABLE", "Function", "Trust", "allow", "errors_as_faults", "trusted"]

NAME = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<function>[^\W\d]\w*)")
"""What names a function: ``package.module:function``."""

_EXECUTED: WeakKeyDictionary[ModuleType, str] = WeakKeyDictionary()
"""By module that lies outside sweeps' folders, the fingerprint of what this process has executed of it."""


@dataclass(frozen=True)
class Function:
    """A function of the user's own, and where its module is looked for.

    Attributes:
        name: ``package.module:function``.
        folder: absolute path; is looked into before Python's own path.
        path: of the part of a trial that names it, such as ``model``. Faults come at the keys ``python``,
            ``folder`` and ``arguments`` of that part.
    """

    name: str
    folder: str
    path: str

    @property
    def module(self) -> str:
        """Its module's dotted name."""
        return self.name.partition(":")[0]

    @property
    def file(self) -> Path:
        """The module's file; nothing is executed, and it need not be trusted.

        Raises:
            InputError: at ``python``, there is none.
        """
        return self._found()[0]

    def files(self) -> list[Path]:
        """The module and what it may import, as far as they are in the folder; nothing is executed.

        Raises:
            InputError: at ``python``, there is no such module, or a file cannot be read.
        """
        return sorted(self._sources().contents) if self._found()[1] else []

    def fingerprint(self) -> str:
        """SHA-256 over the syntax trees of ``files``, of the module's alone outside the folder.

        Raises:
            InputError: as ``files``.
        """
        return self._sources().fingerprint

    def fingerprints(self) -> dict[str, str]:
        """A hash for each of ``files`` that holds code, by its path.

        A module outside the folder goes by its name, as it has another path on other machines.

        Raises:
            InputError: as ``files``.
        """
        sources = self._sources()
        if not self._found()[1]:
            return {self.module: sources.fingerprint}
        return {str(file): digest for file, digest in sources.digests.items()}

    def __call__(self, arguments: Mapping[str, Any]) -> Any:
        """What the function returns; the modules in the folder are read once, and executed anew.

        Raises:
            InputError: at ``python``, ``folder`` or ``arguments``: it cannot be had, is not trusted, or has
                raised something.
        """
        self._refuse_foreign()
        file, inside = self._found()
        sources, name = self._sources(), self.name.partition(":")[2]
        with warnings.catch_warnings():  # filters that the code sets end with it
            with errors_as_faults(f"{self.path}.python", file.name, file):
                module = anew(self.module, sources) if inside else self._once(sources.fingerprint)
                function = getattr(module, name, None)
            if not callable(function):
                raise self._fault("python", f"{self.module} has no function {name}")
            with errors_as_faults(f"{self.path}.arguments", self.name, file):
                return function(**arguments)

    def _once(self, fingerprint: str) -> ModuleType:
        """The module, which Python executes once in a process.

        Raises:
            InputError: at ``python``, it was executed before its file became what it is.
        """
        module = importlib.import_module(self.module)
        if _EXECUTED.setdefault(module, fingerprint) != fingerprint:
            message = f"{self.module} has changed since this process executed it; start a new process"
            raise self._fault("python", message)
        return module

    def _found(self) -> tuple[Path, bool]:
        """The module's file, and whether it was found in the folder."""
        importlib.invalidate_caches()  # the files may have come a moment ago
        for path, inside in (([self.folder], True), (sys.path, False)):
            if file := source(self.module, path):
                return file, inside
        raise self._fault("python", f"there is no module {self.module} in {self.folder} or on Python's path")

    def _sources(self) -> Sources:
        file, inside = self._found()
        try:
            read = contents(self.module, self.folder) if inside else {file: file.read_bytes()}
        except OSError as error:
            raise self._fault(
                "python", f"{error.filename or file} cannot be read: {error.strerror}"
            ) from None
        return Sources(file, self.folder, read)

    def _refuse_foreign(self) -> None:
        """Raises InputError if the module is not trusted."""
        file, inside = self._found()
        folder = Path(self.folder)
        if not inside and not trusted().has_module(self.module):
            reason = f"{self.module} is {file}, not in {folder}: code on Python's path is not executed"
            raise self._fault("python", f"{reason}; {way_out(self.module.partition('.')[0])}")
        if inside and not trusted().has_file(folder):
            reason = "not trusted: code comes from the folder of a sweep file that is given, or below it"
            raise self._fault("folder", f"is {seen(folder)}, {reason}; {way_out(folder.resolve())}")
        if inside and not trusted().has_file(file):
            raise self._fault("python", link(file))

    def _fault(self, key: str, message: str) -> InputError:
        return InputError.at(f"{self.path}.{key}", message)
