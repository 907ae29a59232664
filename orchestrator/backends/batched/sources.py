"""What tells versions of the compiled code apart.

Numba's cache on disk looks at the file of a compiled function alone. The kernels are compiled from several,
so each takes ``SOURCES`` as the default of its last argument: what was compiled for another one is not used.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from orchestrator.models.circuits import gates


def digest(files: list[Path]) -> int:
    """The first 7 bytes of SHA-256 over the files' content."""
    content = hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files))
    return int.from_bytes(content.digest()[:7], "big")


SOURCES = digest([*sorted(Path(__file__).parent.glob("*.py")), Path(gates.__file__)])
"""Of all files of this package, and of the gates."""
