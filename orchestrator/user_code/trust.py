"""The folders and packages whose code this process may execute."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import Fault, InputError

VARIABLE = "ORCHESTRATOR_TRUST"
"""The environment variable with trusted folders and packages, separated by commas."""

_OPTION = "--trust"
_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True)
class Trust:
    """The code that may be executed.

    Attributes:
        folders: absolute paths; code in and below them is trusted.
        packages: dotted names of packages or modules on Python's own path.
    """

    folders: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: Iterable[str | os.PathLike[str]], *own: Path) -> Trust:
        """Returns the trust in ``names``, in the names of ``VARIABLE``, and in the user's own folders.

        Args:
            names: packages and folders; text is a folder if it has a ``/`` or begins with ``.`` or ``~``.
            own: further folders to trust.

        Raises:
            InputError: with every name that is neither a folder nor a package's name.
        """
        entries = [(_OPTION, os.fspath(name), isinstance(name, os.PathLike)) for name in names]
        variable = os.environ.get(VARIABLE, "").split(",")
        entries += [(VARIABLE, name.strip(), False) for name in variable if name.strip()]
        folders, packages, faults = [str(folder) for folder in own], [], []
        for origin, name, is_path in entries:
            folder = _expanded(name) if is_path or "/" in name or name[:1] in (".", "~") else None
            if folder is not None and folder.is_dir():
                folders.append(str(folder.absolute()))
            elif folder is None and _NAME.fullmatch(name):
                packages.append(name)
            else:
                faults.append(
                    Fault(origin, f"is {name!r}, must be a folder (./circuits) or a package's name")
                )
        if faults:
            raise InputError(faults)
        return cls(tuple(dict.fromkeys(folders)), tuple(dict.fromkeys(packages)))

    def has_file(self, path: Path) -> bool:
        """Returns whether a file or folder is in a trusted folder after links are resolved."""
        target = path.resolve()
        return any(target.is_relative_to(Path(folder).resolve()) for folder in self.folders)

    def has_module(self, name: str) -> bool:
        """Returns whether a module is, or belongs to, a trusted package."""
        return any(name == package or name.startswith(f"{package}.") for package in self.packages)


def _expanded(folder: str) -> Path:
    try:
        return Path(folder).expanduser()
    except RuntimeError:  # there is no such user
        return Path(folder)


_trusted = Trust()


def allow(trust: Trust) -> None:
    """Sets the trust of this process, which replaces its earlier one."""
    global _trusted  # noqa: PLW0603 - a state of the process
    _trusted = trust


def trusted() -> Trust:
    """Returns the trust of this process; nothing is trusted before ``allow``."""
    return _trusted


def with_target(path: Path) -> str:
    """Returns a path, with its target if it is a link."""
    target = path.resolve()
    return str(path) if target == path else f"{path} (a link to {target})"


def link_refusal(file: Path) -> str:
    """Returns why a link in a trusted folder is not executed."""
    target = file.resolve()
    return f"{file} is a link to {target}, outside the trusted folders; {trust_hint(target.parent)}"


def run_trust_hint(folder: Path) -> str:
    """Returns why code in a folder is not executed that only a run names, and what to do."""
    return (
        "and code is not executed only because a run names it; give --sweep FILE, the sweep file in that "
        f"folder, or {_OPTION} {shlex.quote(str(folder.resolve()))}"
    )


def trust_hint(trusted: Path | str) -> str:
    """Returns what to do about code that is not trusted."""
    return f"if you know that code and want it executed, give {_OPTION} {shlex.quote(str(trusted))}"
