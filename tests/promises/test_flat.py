"""The number of files of a run does not grow with the number of trials."""

from __future__ import annotations

from pathlib import Path

import pytest
from paths import ROOT
from sweeps import SMALL

import orchestrator

INLINE = orchestrator.Where(inline=True)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "small.yaml"
    path.write_text(SMALL)
    return path


def test_number_of_files_does_not_grow_with_the_number_of_trials(sweep: Path, tmp_path: Path) -> None:
    for seeds in (1, 40):
        out = tmp_path / str(seeds)
        orchestrator.run(sweep, out, where=INLINE, overrides=[f"sweep.1.seed={{range: {seeds}}}"])
    few, many = (sorted(p.name for p in (tmp_path / n).rglob("*") if p.is_file()) for n in ("1", "40"))
    assert few == many


def test_number_of_files_does_not_depend_on_the_number_of_trials(tmp_path: Path) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    job = ROOT / "jobs" / "plateaus.yaml"
    orchestrator.run(job, few, where=INLINE, overrides=["sweep.1.seed={range: 4}"])
    result = orchestrator.run(job, many, where=INLINE)
    assert result.progress.ended == 2000
    assert len([*many.rglob("*")]) == len([*few.rglob("*")])
