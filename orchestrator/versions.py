"""Versions of this package and of the libraries that compute: part of what a run remembers."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

COMPUTING = (
    "orchestrator",
    "numpy",
    "numba",
    "qiskit",
    "qiskit-aer",
    "qiskit-aer-gpu",
    "qiskit-ibm-runtime",
    "scikit-learn",
)


def versions() -> dict[str, str]:
    """Installed versions by distribution name; a missing one is left out.

    Example:
        >>> "numpy" in versions()
        True
    """
    found = {"python": platform.python_version()}
    for name in COMPUTING:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
