"""Whose code this process may execute."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import Fault, InputError

VARIABLE = "ORCHESTRATOR_TRUST"
"""The environment variable that says what is trusted, separated by commas."""

_OPTION = "--trust"
_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True)
class Trust:
    """Whose code may be executed.

    Attributes:
        folders: absolute paths; the code in them and below them.
        packages: dotted names; the code of these packages or modules on Python's own path.
    """

    folders: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: Iterable[str | os.PathLike[str]], *own: Path) -> Trust:
        """What the user trusts: what is given, what the environment names, and folders of the user's own.

        Args:
            given: names of packages, and folders; text is a folder if it has a ``/`` or begins with ``.``
                or ``~``.

        Raises:
            InputError: with each that is neither.
        """
        named = [(_OPTION, os.fspath(one), isinstance(one, os.PathLike)) for one in given]
        variable = os.environ.get(VARIABLE, "").split(",")
        named += [(VARIABLE, one.strip(), False) for one in variable if one.strip()]
        folders, packages, faults = [str(one) for one in own], [], []
        for path, one, is_path in named:
            folder = _expanded(one) if is_path or "/" in one or one[:1] in (".", "~") else None
            if folder is not None and folder.is_dir():
                folders.append(str(folder.absolute()))
            elif folder is None and _NAME.fullmatch(one):
                packages.append(one)
            else:
                faults.append(Fault(path, f"is {one!r}, must be a folder (./circuits) or a package's name"))
        if faults:
            raise InputError(faults)
        return cls(tuple(dict.fromkeys(folders)), tuple(dict.fromkeys(packages)))

    def has_file(self, path: Path) -> bool:
        """Whether a file or folder lies in a trusted folder, once links are followed."""
        target = path.resolve()
        return any(target.is_relative_to(Path(folder).resolve()) for folder in self.folders)

    def has_module(self, name: str) -> bool:
        """Whether a module is, or belongs to, a trusted package."""
        return any(name == package or name.startswith(f"{package}.") for package in self.packages)


def _expanded(folder: str) -> Path:
    try:
        return Path(folder).expanduser()
    except RuntimeError:  # the home of nobody
        return Path(folder)


_trusted = Trust()


def allow(trust: Trust) -> None:
    """Sets what this process trusts, instead of what it trusted before."""
    global _trusted  # noqa: PLW0603 - it is a state of the process
    _trusted = trust


def trusted() -> Trust:
    """What this process trusts; nothing, before ``allow``."""
    return _trusted


def seen(path: Path) -> str:
    """A path, and what it is a link to."""
    target = path.resolve()
    return str(path) if target == path else f"{path} (a link to {target})"


def link(file: Path) -> str:
    """Why a file in a trusted folder is not executed."""
    target = file.resolve()
    return f"{file} leads to {target}, outside the trusted folders; {way_out(target.parent)}"


def way_out(trusted: Path | str) -> str:
    """What to do about code that is not trusted."""
    return f"if you know that code and want it executed, give {_OPTION} {shlex.quote(str(trusted))}"
