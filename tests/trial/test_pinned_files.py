"""The files of a structure are compared with the planned ones also after its problem was built."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sweeps import NETWORK, read

from orchestrator.errors import ChangedFile
from orchestrator.trial import pinned
from orchestrator.trial.problem import Problem
from orchestrator.trial.trial import Trial


def test_file_that_changes_while_the_problem_is_built_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(rows: int) -> None:
        np.savez(tmp_path / "a.npz", x=np.arange(float(rows)), y=np.arange(rows) % 2)

    write(20)
    text = NETWORK.replace("{source: moons, rows: 20}", "{source: file, path: a.npz, target: y}")
    (structure,) = read(text, folder=tmp_path).plan.structures
    problem = pinned.problem

    def changing(trial: Trial) -> Problem:
        found = problem(trial)
        write(22)
        return found

    monkeypatch.setattr(pinned, "problem", changing)
    with pytest.raises(ChangedFile, match=r"a\.npz changed after the sweep was planned; restore the old"):
        pinned.load_problem(structure.pinned)
