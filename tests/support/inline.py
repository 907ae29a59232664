"""Runs sweeps in this process and reads their tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import orchestrator

INLINE = orchestrator.Where(inline=True)


def ran(folder: Path, text: str, *overrides: str) -> orchestrator.Run:
    """Runs a sweep in this process; returns its run."""
    sweep = folder / "sweep.yaml"
    sweep.write_text(text)
    result = orchestrator.run(sweep, folder / "run", where=INLINE, overrides=overrides)
    assert result.failed == 0
    return orchestrator.open_run(folder / "run")


def table(folder: Path, name: str) -> pd.DataFrame:
    """A table of the run in ``folder``, rows in stored order."""
    return pd.read_parquet(folder / "run" / name)
