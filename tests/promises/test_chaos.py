"""The short version of ``make chaos``."""

from __future__ import annotations

import subprocess
import sys

import pytest
from chaos import HISTORIES, History
from faults import FAULTS
from paths import SUPPORT

SHORT = ("2", "30")
"""Seeds of two histories in which a node, two workers and a compaction die."""


def test_histories_hold_every_fault() -> None:
    histories = [History.of(seed) for seed in range(HISTORIES)]
    assert {name for history in histories for name, _ in history.faults} == set(FAULTS)
    assert len({history.faults for history in histories}) == HISTORIES


@pytest.mark.long
def test_sweeps_hit_by_faults_end_with_the_same_bits() -> None:
    script = SUPPORT / "chaos.py"
    done = subprocess.run(
        [sys.executable, str(script), *SHORT], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
