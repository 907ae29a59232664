"""The number of files of a run does not grow with the number of trials."""

from __future__ import annotations

from pathlib import Path

from paths import ROOT

import orchestrator

INLINE = orchestrator.Where(inline=True)


def test_number_of_files_does_not_grow_with_the_number_of_trials(small_sweep: Path, tmp_path: Path) -> None:
    for seeds in (1, 40):
        out = tmp_path / str(seeds)
        orchestrator.run(small_sweep, out, where=INLINE, overrides=[f"sweep.1.seed={{range: {seeds}}}"])
    few, many = (sorted(p.name for p in (tmp_path / n).rglob("*") if p.is_file()) for n in ("1", "40"))
    assert few == many


def test_number_of_files_does_not_depend_on_the_number_of_trials(tmp_path: Path) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    job = ROOT / "jobs" / "plateaus.yaml"
    orchestrator.run(job, few, where=INLINE, overrides=["sweep.1.seed={range: 4}"])
    result = orchestrator.run(job, many, where=INLINE)
    assert result.progress.ended == 2000
    assert len([*many.rglob("*")]) == len([*few.rglob("*")])
