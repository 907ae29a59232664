"""Importing the package is cheap, and its public names are these."""

from __future__ import annotations

import subprocess
import sys

import orchestrator

HEAVY = (
    *("ray", "qiskit", "qiskit_aer", "qiskit_ibm_runtime", "numba"),
    *("pyarrow", "matplotlib", "duckdb", "sklearn", "scipy"),
)


def loaded_after(statement: str) -> set[str]:
    """The heavy packages that a fresh interpreter has loaded after ``statement``."""
    code = f"import sys; {statement}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    return set(subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60).split())


def test_import_loads_nothing_heavy() -> None:
    assert loaded_after("import orchestrator") == set()


def test_configurations_load_nothing_heavy() -> None:
    assert loaded_after("import orchestrator.sweep.file") == set()


def test_public_names_are_pinned() -> None:
    assert orchestrator.__all__ == ["Result", "Run", "Where", "open_run", "run"]
    assert all(getattr(orchestrator, name) is not None for name in orchestrator.__all__)
