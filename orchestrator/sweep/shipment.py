"""What a sweep takes along when it is computed on another machine: itself and the local files that it names.

Inside a shipment everything keeps the path that it has here, below the shipment's own root. So relative
names, also those that lead upwards, mean what they meant, and absolute ones are looked for below the root
(``file.load(..., root)``): no name in the sweep changes, hence no column and no id.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.sweep.file import Sweep

ROOT = "shipped-files"
"""The root inside a shipment. No Python module can have this name, so nothing in it hides another one."""

_LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""Modification time of all members, so that equal content gives an equal archive."""


@dataclass(frozen=True)
class Shipment:
    """Contents by their name in the archive.

    Attributes:
        sweep: name of the sweep file.
    """

    sweep: str
    contents: Mapping[str, bytes]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over names and contents."""
        total = hashlib.sha256()
        for name, content in sorted(self.contents.items()):
            total.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
        return total.hexdigest()

    def write(self, archive: Path, more: Mapping[str, bytes]) -> None:
        """Writes a zip file of these contents and ``more``."""
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in sorted({**self.contents, **more}.items()):
                file.writestr(zipfile.ZipInfo(name, _LONG_AGO), content, zipfile.ZIP_DEFLATED)


def shipment(sweep: Sweep, name: str) -> Shipment:
    """The shipment of a sweep that was read from a file called ``name``, as it stands after ``--set``."""
    own = _inside(sweep.folder / name)
    named = {_inside(path): path.read_bytes() for path in _files(sweep)}
    return Shipment(own, {own: sweep.text.encode(), **named})


def _files(sweep: Sweep) -> Iterable[Path]:
    templates = (c.template for structure in sweep.plan.structures for c in structure.combinations)
    return dict.fromkeys(path for template in templates for path in template.files())


def _inside(path: Path) -> str:
    return ROOT + os.path.normpath(path)
