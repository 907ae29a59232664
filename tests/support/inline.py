"""Sweeps that are run in this process, and the tables that they leave behind."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import orchestrator

INLINE = orchestrator.Where(inline=True)


def ran(folder: Path, text: str, *overrides: str) -> orchestrator.Results:
    """A sweep that is run in this process."""
    sweep = folder / "sweep.yaml"
    sweep.write_text(text)
    result = orchestrator.run(sweep, folder / "run", where=INLINE, overrides=overrides)
    assert result.failed == 0
    return orchestrator.open_run(folder / "run")


def table(folder: Path, name: str) -> pd.DataFrame:
    """A table of the run in a folder, in the order of its rows."""
    return pd.read_parquet(folder / "run" / name)
