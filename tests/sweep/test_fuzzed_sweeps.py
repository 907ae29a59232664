"""Mutated sweep files give a plan, or faults with file and line, in bounded time."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fuzzed_sweeps import fuzzed

from orchestrator.driver.estimate import estimates
from orchestrator.errors import InputError
from orchestrator.sweep.file import load

PROMPT_S = 30
"""Far more than any sweep takes on a busy machine; an endless one is stopped, and named."""


class TooLongError(BaseException):
    """Not an ``Exception``, so that no handler takes it for a fault of the file."""


@contextmanager
def promptly() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(PROMPT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def check(seed: int, path: Path) -> bool:
    """Returns whether the sweep of this seed was planned; checks the faults of a refused one."""
    path.write_bytes(fuzzed(seed))
    try:
        with promptly():
            sweep = load(path)
            assert list(itertools.islice(estimates(sweep, 2), 3))
            assert len(list(itertools.islice(sweep.plan.trials(), 3))) == min(3, sweep.plan.count)
    except InputError as error:
        assert error.faults
        for fault in error.faults:
            assert fault.file == str(path)
            assert fault.line or not fault.path  # text that is not YAML may have no line
            assert str(fault).isprintable()
            assert len(str(fault)) < 2000
        return False
    return True


@pytest.mark.parametrize("block", range(5))
def test_mutated_sweep_is_planned_or_refused_with_file_and_line(block: int, tmp_path: Path) -> None:
    found = [check(seed, tmp_path / "a.yaml") for seed in range(40 * block, 40 * (block + 1))]
    assert True in found
    assert False in found


@pytest.mark.long
@pytest.mark.parametrize("block", range(100))
def test_mutated_sweeps_are_planned_or_refused_with_file_and_line(block: int, tmp_path: Path) -> None:
    for seed in range(1000 + 100 * block, 1000 + 100 * (block + 1)):
        check(seed, tmp_path / "a.yaml")
