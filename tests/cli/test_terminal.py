"""Progress of a running sweep, on a terminal and without one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from sweeps import read, swept

from orchestrator.cli import show
from orchestrator.cli.terminal import Terminal
from orchestrator.driver.counts import Counts, Left
from orchestrator.driver.driver import Progress

COUNTS = Counts(kept=1, abandoned=0, left=(Left(trials=5, begun=2, steps=60),), damaged=2, again=1)


def test_trials_that_the_run_holds_are_printed_first(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().opened(read(swept("seed: {range: 6}")), "run", COUNTS)
    printed = capsys.readouterr()
    assert printed.out == "small: 6 trials (1 kept, 2 begun, 3 new, 1 of them failed before) → run\n"
    assert printed.err == "removed 2 damaged commits; their trials resume from their last intact state\n"


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A clock that advances by ten seconds with each call."""
    times = iter(range(0, 10_000, 10))
    clock = SimpleNamespace(monotonic=lambda: float(next(times)))
    monkeypatch.setattr("orchestrator.cli.terminal.time", clock)
    yield


PROGRESS = Progress(9, kept=2, steps_left=12, ended=5, failed=2, diverged=1, steps=400, loss=0.25)
LINE = re.compile(r"7 of 9 trials, ([\d,]+) steps/s, newest loss 0\.25, 2 failed, 1 diverged")


@pytest.mark.usefixtures("ticking")
def test_progress_counts_all_trials_and_the_steps_since_the_fleet_started(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal = Terminal()
    terminal.placed("in this process", 1)
    terminal.advanced(Progress(9, kept=2))
    terminal.advanced(PROGRESS)
    where, waiting, line = capsys.readouterr().out.splitlines()
    assert (where, waiting) == ("in this process, 1 worker", "2 of 9 trials, no results yet")
    match = LINE.fullmatch(line)
    assert match
    assert 4 <= int(match[1]) <= 10  # 400 steps, and some calls of the clock


def test_bar_advances_with_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    bar = SimpleNamespace(
        start=lambda: None,
        stop=lambda: None,
        add_task=lambda _, total: calls.append(total),
        update=lambda _, completed, description: calls.append((completed, description)),
    )
    monkeypatch.setattr(show, "progress_bar", lambda: bar)
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: True, write=len, flush=lambda: None))
    terminal = Terminal()
    terminal.opened(read(swept("seed: {range: 6}")), "run", COUNTS)
    terminal.placed("in this process", 1)
    terminal.advanced(PROGRESS)
    terminal.end()
    total, (completed, description) = calls
    assert (total, completed) == (60, 48)
    assert LINE.fullmatch(description)
