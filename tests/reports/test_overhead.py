"""``analyse --overhead``: compute and wait time of a run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from sweeps import swept

import orchestrator
from orchestrator.cli import orchestrator as command_line
from orchestrator.reports.overhead import overhead

INLINE = orchestrator.Where(inline=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two structures with three trials each."""
    folder = tmp_path_factory.mktemp("timed")
    text = swept("model.hidden: [[2], [3]]", "updates.1.learning_rate: [0.1, 0.2, 0.3]")
    (folder / "a.yaml").write_text(text)
    orchestrator.run(folder / "a.yaml", folder / "run", where=INLINE)
    return folder / "run"


def test_overhead_has_a_row_for_each_structure(run: Path) -> None:
    frame = overhead(orchestrator.open_run(run))
    rows = [dict(zip(frame.header, row, strict=True)) for row in frame.rows]
    assert [row["trials"] for row in rows] == [3, 3]
    assert [row["steps"] for row in rows] == [9, 9]
    assert [row["parameters"] for row in rows] == [9, 13]


def test_overhead_adds_up_to_the_times_of_the_trials(run: Path) -> None:
    frame = overhead(orchestrator.open_run(run))
    table = pd.DataFrame(frame.rows, columns=list(frame.header))
    trials = pd.read_parquet(run / "trials")
    assert table["compute s"].sum() == pytest.approx(trials.seconds_compute.sum())
    assert table["wait s"].sum() == pytest.approx(trials.seconds_wait.sum())
    assert table["% of all"].sum() == pytest.approx(100.0)


def test_analyse_prints_the_overhead(run: Path) -> None:
    done = CliRunner().invoke(command_line, ["analyse", str(run), "--overhead"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "compute s" in done.output
    assert done.output.splitlines()[-1] == (
        "times of gradients only; not recorded: planning, the start of Ray, statistics, updates and commits"
    )
    refused = CliRunner().invoke(command_line, ["analyse", str(run), "--overhead", "--sql", "select 1"])
    assert refused.exit_code == 2
