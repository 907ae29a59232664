"""The one door to users' code: whose is executed, how it is found and loaded, what becomes of its errors.

Code is executed if it lies in or below a trusted folder (that of the sweep file, and those that ``--trust``
names), or in a package on Python's own path that ``--trust`` names. What is trusted is a state of the
process: ``sweep.file.load`` sets it, ``training.worker.Preparation`` takes it to the workers. No run keeps
it.

Modules in folders are loaded under a name of their own, ``_user_code_….module``, so they replace none that
has the same name. Their ``import`` statements find their neighbours in the folder, unless Python itself or
an installed package has that name.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import InputError
from orchestrator.user_code.faults import explained
from orchestrator.user_code.modules import anew, files, source
from orchestrator.user_code.trust import VARIABLE, Trust, allow, link, seen, trusted, way_out

__all__ = ["VARIABLE", "Function", "Trust", "allow", "explained", "trusted"]


@dataclass(frozen=True)
class Function:
    """A function of the user's own, and where its module is looked for.

    Attributes:
        module: dotted name.
        name: of the function.
        folder: absolute path; is looked into before Python's own path.
    """

    module: str
    name: str
    folder: str

    @property
    def file(self) -> Path:
        """The module's file; nothing is executed, and it need not be trusted.

        Raises:
            InputError: at ``model.python``, there is none.
        """
        return self._found()[0]

    @property
    def source(self) -> bytes:
        """The module's bytes; nothing is executed, and it need not be trusted.

        Raises:
            InputError: at ``model.python``, they cannot be had.
        """
        file = self.file
        try:
            return file.read_bytes()
        except OSError as error:
            raise InputError.at("model.python", f"{file} cannot be read: {error.strerror}") from None

    def files(self) -> list[Path]:
        """The module and what it may import, as far as they are in the folder; nothing is executed."""
        return files(self.module, self.folder) if self._found()[1] else []

    def __call__(self, arguments: Mapping[str, Any]) -> Any:
        """What the function returns; modules in the folder are executed anew.

        Raises:
            InputError: at ``model.python``, ``model.folder`` or ``model.arguments``: it cannot be had, is not
                trusted, or raised something.
        """
        self._refuse_foreign()
        file, inside = self._found()
        with warnings.catch_warnings():  # filters that the code sets end with it
            with explained("model.python", file.name, file):
                module = anew(self.module, self.folder) if inside else importlib.import_module(self.module)
                function = getattr(module, self.name, None)
            if not callable(function):
                raise InputError.at("model.python", f"{self.module} has no function {self.name}")
            with explained("model.arguments", f"{self.module}:{self.name}", file):
                return function(**arguments)

    def _found(self) -> tuple[Path, bool]:
        """The module's file, and whether it was found in the folder."""
        for path, inside in (([self.folder], True), (sys.path, False)):
            if file := source(self.module, path):
                return file, inside
        message = f"there is no module {self.module} in {self.folder} or on Python's path"
        raise InputError.at("model.python", message)

    def _refuse_foreign(self) -> None:
        """Raises InputError if the module is not trusted."""
        file, inside = self._found()
        folder = Path(self.folder)
        if not inside and not trusted().has_module(self.module):
            reason = f"{self.module} is {file}, not in {folder}: code on Python's path is not executed"
            raise InputError.at("model.python", f"{reason}; {way_out(self.module.partition('.')[0])}")
        if inside and not trusted().has_file(folder):
            reason = "not trusted: code comes from the folder of a sweep file that is given, or below it"
            raise InputError.at("model.folder", f"is {seen(folder)}, {reason}; {way_out(folder.resolve())}")
        if inside and not trusted().has_file(file):
            raise InputError.at("model.python", link(file))
