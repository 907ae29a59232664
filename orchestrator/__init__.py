"""Sweeps of gradient computations on Ray, classical and quantum, recorded in Parquet.

import orchestrator

orchestrator.run("jobs/quickstart.yaml")
run = orchestrator.open_run("runs/quickstart")
run.steps.to_pandas()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.api.placing import Where
    from orchestrator.api.running import Result, open_run, run
    from orchestrator.runs.reader import Run

__all__ = ["Result", "Run", "Where", "open_run", "run"]

_MODULES = {
    "Result": "orchestrator.api.running",
    "Run": "orchestrator.runs.reader",
    "Where": "orchestrator.api.placing",
    "open_run": "orchestrator.api.running",
    "run": "orchestrator.api.running",
}


def __getattr__(name: str) -> Any:
    """Imports a public name at its first use, so that importing the package stays cheap."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_MODULES[name]), name)
