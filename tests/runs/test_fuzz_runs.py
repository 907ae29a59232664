"""Runs that were damaged at random give the same results, or an error."""

from __future__ import annotations

import os

import pytest
from fuzz_runs import fuzz


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skips waiting for the disk, as no machine fails here."""
    monkeypatch.setattr(os, "fsync", int)


def test_damaged_runs_end_with_the_same_results_or_a_fault() -> None:
    ends = fuzz(24, seed=1)
    assert {"read, same results", "refused, run refused"} <= ends.keys()


@pytest.mark.long
def test_many_damaged_runs_end_with_the_same_results_or_a_fault() -> None:
    assert fuzz(3000, seed=2).total() == 3000
