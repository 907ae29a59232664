"""A sweep that has grown runs only what is new, and ends as if it had been run whole."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from sweeps import swept

import orchestrator
from orchestrator.api.running import Counts, Watcher
from orchestrator.runs.digest import digest
from orchestrator.sweep.file import Sweep

INLINE = orchestrator.Where(inline=True)
WIDTHS = "model.hidden: [[2], [3]]"
DRAWN = "{{samples: {}, updates.1.learning_rate: {{log_uniform: [1e-3, 1e-1]}}}}"


class CountsWatcher(Watcher):
    """Remembers how many trials were kept, begun, new and abandoned."""

    def opened(self, sweep: Sweep, out: Path | str, counts: Counts) -> None:  # noqa: ARG002
        self.counts = (counts.kept, counts.begun, counts.new, counts.abandoned)


@pytest.mark.parametrize(
    ("before", "after", "kept", "new"),
    [
        (
            [WIDTHS, "seed: {range: 2}"],
            [WIDTHS, "seed: {range: 5}"],
            4,
            6,
        ),
        ([DRAWN.format(3)], [DRAWN.format(7)], 3, 4),
        (["updates.0.limit: [1, 2]"], ["updates.0.limit: [0.5, 2, 4, 1]"], 2, 2),
        (["model.hidden: [[2]]"], ["model.hidden: [[3], [2]]"], 1, 1),
        (
            ["cases: {plain: {}}", "seed: {range: 2}"],
            ["cases: {deep: {model.hidden: [2, 2]}, plain: {}}", "seed: {range: 2}"],
            2,
            2,
        ),
    ],
    ids=["seeds", "samples", "axis", "structural-axis", "case"],
)
def test_grown_sweep_runs_only_what_is_new(
    before: list[str], after: list[str], kept: int, new: int, tmp_path: Path
) -> None:
    sweep, out, watcher = tmp_path / "small.yaml", tmp_path / "run", CountsWatcher()
    sweep.write_text(swept(*before))
    orchestrator.run(sweep, out, where=INLINE, watcher=watcher)
    assert watcher.counts == (0, 0, kept, 0)
    old = pd.read_parquet(out / "trials").set_index("trial").started_at
    sweep.write_text(swept(*after))
    orchestrator.run(sweep, out, where=INLINE, watcher=watcher)
    assert watcher.counts == (kept, 0, new, 0)
    started = pd.read_parquet(out / "trials").set_index("trial").started_at
    assert started[old.index].tolist() == old.tolist()
    orchestrator.run(sweep, tmp_path / "whole", where=INLINE)
    assert digest(orchestrator.open_run(out)) == digest(orchestrator.open_run(tmp_path / "whole"))
