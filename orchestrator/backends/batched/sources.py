"""A digest of the kernels' source files, which tells versions of the compiled code apart.

Numba's cache on disk checks only the file that defines a compiled function, but a kernel is compiled from
several files. So each kernel has ``SOURCES`` as the default of its last argument. Code that was compiled for
another value is not used.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from orchestrator.models.circuits import gates


def digest(files: list[Path]) -> int:
    """Returns the first 7 bytes of a SHA-256 over the files' content."""
    content = hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files))
    return int.from_bytes(content.digest()[:7], "big")


SOURCES = digest([*sorted(Path(__file__).parent.glob("*.py")), Path(gates.__file__)])
"""Digest of all files of this package and of ``models.circuits.gates``."""
