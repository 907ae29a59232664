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


def test_number_of_files_of_probes_of_circuits_does_not_grow_either(tmp_path: Path) -> None:
    files = []
    for seeds, trials in ((2, 10), (60, 300)):
        out, job = tmp_path / str(seeds), ROOT / "jobs" / "plateaus.yaml"
        result = orchestrator.run(job, out, where=INLINE, overrides=[f"sweep.1.seed={{range: {seeds}}}"])
        assert result.progress.ended == trials
        files.append(len([*out.rglob("*")]))
    assert files[0] == files[1]
