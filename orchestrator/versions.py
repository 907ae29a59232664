"""Versions of this package and of the libraries that compute; a run stores them."""

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
    """Returns installed versions by distribution name, without missing distributions.

    Example:
        >>> "numpy" in versions()
        True
    """
    installed = {"python": platform.python_version()}
    for name in COMPUTING:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed
