"""Ships a sweep to another machine: the sweep file, and the local files that it names.

In a shipment, every file keeps its absolute path, below the root of the shipment. So relative names keep
their meaning, also those with ``..``, and absolute names are resolved below the root
(``file.load(..., root)``). No name in the sweep changes, hence no column and no id.
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
"""The root in a shipment. No Python module can have this name, so it hides none."""

_MODIFIED = (1980, 1, 1, 0, 0, 0)
"""Modification time of all members, so that equal content gives an equal archive."""


@dataclass(frozen=True)
class Shipment:
    """The files of a shipment.

    Attributes:
        sweep: name of the sweep file in the archive.
        contents: content of each file, by its name in the archive.
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
                file.writestr(zipfile.ZipInfo(name, _MODIFIED), content, zipfile.ZIP_DEFLATED)


def shipment(sweep: Sweep, name: str) -> Shipment:
    """Returns the shipment of a sweep read from the file ``name``, with the changes by ``--set``."""
    own = _archive_name(sweep.folder / name)
    named = {_archive_name(path): path.read_bytes() for path in _files(sweep)}
    return Shipment(own, {own: sweep.text.encode(), **named})


def _files(sweep: Sweep) -> Iterable[Path]:
    templates = (c.template for structure in sweep.plan.structures for c in structure.combinations)
    return dict.fromkeys(path for template in templates for path in template.files())


def _archive_name(path: Path) -> str:
    return ROOT + os.path.normpath(path)
