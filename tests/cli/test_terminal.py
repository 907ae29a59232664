"""What a running sweep shows on a terminal, and where there is none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from sweeps import read, swept

from orchestrator.cli import show
from orchestrator.cli.terminal import Terminal
from orchestrator.driver.counts import Counts
from orchestrator.driver.driver import Progress

COUNTS = Counts(kept=1, begun=2, new=3, abandoned=0, steps=60, damaged=2, again=1)


def test_what_is_there_already_is_said_at_first(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().opened(read(swept("seed: {range: 6}")), "run", COUNTS)
    told = capsys.readouterr()
    assert told.out == "small: 6 trials (1 kept, 2 begun, 3 new, 1 of them failed before) → run\n"
    assert told.err == "swept away 2 damaged commits; their trials go on from the state before\n"


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ten seconds go by with each look at the clock."""
    times = iter(range(0, 10_000, 10))
    clock = SimpleNamespace(monotonic=lambda: float(next(times)))
    monkeypatch.setattr("orchestrator.cli.terminal.time", clock)
    yield


PROGRESS = Progress(9, kept=2, steps_left=12, ended=5, failed=2, diverged=1, steps=400, loss=0.25)
LINE = re.compile(r"7 of 9 trials, ([\d,]+) steps/s, loss 0\.25, 2 failed, 1 diverged")


@pytest.mark.usefixtures("ticking")
def test_progress_is_that_of_all_trials_and_of_the_steps_since_the_fleet_is_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal = Terminal()
    terminal.placed("in this process", 1)
    terminal.advanced(Progress(9, kept=2))
    terminal.advanced(PROGRESS)
    place, nothing, line = capsys.readouterr().out.splitlines()
    assert (place, nothing) == ("in this process, 1 worker", "2 of 9 trials, nothing has come back yet")
    found = LINE.fullmatch(line)
    assert found
    assert 4 <= int(found[1]) <= 10  # 400 steps within some looks at the clock


def test_bar_shows_what_is_done_of_what_was_left(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    bar = SimpleNamespace(
        start=lambda: None,
        stop=lambda: None,
        add_task=lambda _, total: told.append(total),
        update=lambda _, completed, description: told.append((completed, description)),
    )
    monkeypatch.setattr(show, "progress_bar", lambda: bar)
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: True, write=len, flush=lambda: None))
    terminal = Terminal()
    terminal.opened(read(swept("seed: {range: 6}")), "run", COUNTS)
    terminal.placed("in this process", 1)
    terminal.advanced(PROGRESS)
    terminal.end()
    total, (completed, description) = told
    assert (total, completed) == (60, 48)
    assert LINE.fullmatch(description)
