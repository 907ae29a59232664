"""Users' code: which code is trusted, how modules are found and loaded, how their errors become faults.

Code is executed if it is in or below a trusted folder, or in a trusted package on Python's own path. The
folder of the sweep file is trusted; ``--trust`` names other folders and packages. Trust is a state of the
process: ``sweep.file.load`` sets it, ``training.worker.Preparation`` takes it to workers. It is in no run.

Modules in folders are loaded under names of their own, ``_user_code_….module``, so they replace no other
module. Their ``import`` statements find the other modules of the folder, unless Python itself or an installed
package has that name. A module and the modules that it imports are read together. So the fingerprint, the
shipment and the execution cover the same list of files.
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
from orchestrator.user_code.modules import execute
from orchestrator.user_code.sources import Sources, find_source, read_contents
from orchestrator.user_code.trust import (
    VARIABLE,
    Trust,
    allow,
    link_refusal,
    run_trust_hint,
    trust_hint,
    trusted,
    with_target,
)

__all__ = ["NAME", "VARIABLE", "Function", "Trust", "allow", "errors_as_faults", "trusted"]

NAME = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<function>[^\W\d]\w*)")
"""The name of a function: ``package.module:function``."""

_EXECUTED: WeakKeyDictionary[ModuleType, str] = WeakKeyDictionary()
"""For modules outside of sweeps' folders: the fingerprint of the code that this process has executed."""


@dataclass(frozen=True)
class Function:
    """A function of the user, and where its module is searched.

    Attributes:
        name: ``package.module:function``.
        folder: absolute path; searched before Python's own path.
        path: path of the part of a trial that names the function, such as ``model``. Faults are at the keys
            ``python``, ``folder`` and ``arguments`` of that part.
    """

    name: str
    folder: str
    path: str

    @property
    def module(self) -> str:
        """Dotted name of the module."""
        return self.name.partition(":")[0]

    @property
    def file(self) -> Path:
        """The module's file. Nothing is executed; the file need not be trusted.

        Raises:
            InputError: at ``python``, there is no such module.
        """
        return self._find()[0]

    def files(self) -> list[Path]:
        """Returns the files of the module and its possible imports that are in the folder; executes nothing.

        Raises:
            InputError: at ``python``, there is no such module, or a file cannot be read.
        """
        return sorted(self._sources().contents) if self._find()[1] else []

    def fingerprint(self) -> str:
        """Returns SHA-256 over the syntax trees of ``files``; outside the folder, of the module alone.

        Raises:
            InputError: as ``files``.
        """
        return self._sources().fingerprint

    def fingerprints(self) -> dict[str, str]:
        """Returns a hash for each of ``files`` that contains code, by path.

        A module outside the folder is named instead, as its path differs between machines.

        Raises:
            InputError: as ``files``.
        """
        sources = self._sources()
        if not self._find()[1]:
            return {self.module: sources.fingerprint}
        return {str(file): digest for file, digest in sources.digests.items()}

    def __call__(self, arguments: Mapping[str, Any]) -> Any:
        """Calls the function, returns its result; modules in the folder are read once and executed afresh.

        Raises:
            InputError: at ``python``, ``folder`` or ``arguments``: the function does not exist,
                is not trusted, or has raised an exception.
        """
        self._refuse_untrusted()
        file, inside = self._find()
        sources, name = self._sources(), self.name.partition(":")[2]
        with warnings.catch_warnings():  # restores the filters that the code sets
            with errors_as_faults(f"{self.path}.python", file.name, file):
                module = execute(self.module, sources) if inside else self._imported_once(sources.fingerprint)
                function = getattr(module, name, None)
            if not callable(function):
                raise self._fault("python", f"{self.module} has no function {name}")
            with errors_as_faults(f"{self.path}.arguments", self.name, file):
                return function(**arguments)

    def _imported_once(self, fingerprint: str) -> ModuleType:
        """Returns the module, which Python executes once per process.

        Raises:
            InputError: at ``python``, the file has changed since the module was executed.
        """
        module = importlib.import_module(self.module)
        if _EXECUTED.setdefault(module, fingerprint) != fingerprint:
            message = f"{self.module} has changed since this process executed it; start a new process"
            raise self._fault("python", message)
        return module

    def _find(self) -> tuple[Path, bool]:
        """Returns the module's file, and whether it is in the folder."""
        importlib.invalidate_caches()  # the files may be new
        for path, inside in (([self.folder], True), (sys.path, False)):
            if file := find_source(self.module, path):
                return file, inside
        raise self._fault("python", f"there is no module {self.module} in {self.folder} or on Python's path")

    def _sources(self) -> Sources:
        file, inside = self._find()
        try:
            read = read_contents(self.module, self.folder) if inside else {file: file.read_bytes()}
        except OSError as error:
            raise self._fault(
                "python", f"{error.filename or file} cannot be read: {error.strerror}"
            ) from None
        return Sources(file, self.folder, read)

    def _refuse_untrusted(self) -> None:
        """Raises InputError if the module is not trusted."""
        file, inside = self._find()
        folder = Path(self.folder)
        if not inside and not trusted().has_module(self.module):
            reason = f"{self.module} is {file}, not in {folder}: code on Python's path is not executed"
            raise self._fault("python", f"{reason}; {trust_hint(self.module.partition('.')[0])}")
        if inside and not trusted().folders:  # else that of a sweep file, or one that the user has named
            raise self._fault("python", f"is {self.name} in {with_target(folder)}, {run_trust_hint(folder)}")
        if inside and not trusted().has_file(folder):
            reason = "not trusted: code must be in or below the folder of the sweep file"
            raise self._fault("folder", f"is {with_target(folder)}, {reason}; {trust_hint(folder.resolve())}")
        if inside and not trusted().has_file(file):
            raise self._fault("python", link_refusal(file))

    def _fault(self, key: str, message: str) -> InputError:
        return InputError.at(f"{self.path}.{key}", message)
