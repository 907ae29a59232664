"""Runs damaged at random: the same results, or a fault."""

from __future__ import annotations

import os

import pytest
from fuzz_runs import fuzz


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk: no machine is going to fail here."""
    monkeypatch.setattr(os, "fsync", int)


def test_damaged_runs_end_with_the_same_results_or_a_fault() -> None:
    ends = fuzz(24, seed=1)
    assert {"read, same results", "refused, run refused"} <= ends.keys()


@pytest.mark.long
def test_many_damaged_runs_end_with_the_same_results_or_a_fault() -> None:
    assert fuzz(3000, seed=2).total() == 3000
