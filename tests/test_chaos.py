"""The short version of ``make chaos``: a few histories of faults, one of every kind among them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import chaos
import faults

SEEDS = (0,)


def test_seed_tells_the_whole_history() -> None:
    names = chaos.names()
    assert chaos.History.of(7, names) == chaos.History.of(7, names)
    assert len({chaos.History.of(seed, names).faults for seed in range(50)}) > 45


def test_fifty_histories_hold_every_fault() -> None:
    names = list(faults.FAULTS)
    histories = [chaos.History.of(seed, names) for seed in range(50)]
    assert {name for history in histories for name, _ in history.faults} == set(names)
