"""Rows that came back and are not committed yet."""

from __future__ import annotations

import math
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from sweeps import plan

from orchestrator.driver import committing
from orchestrator.driver.committing import CommitThread
from orchestrator.driver.ledger import Ledger
from orchestrator.driver.packs import Packer
from orchestrator.driver.scheduler import Failed, Work
from orchestrator.fleet.inline import InlineTeam
from orchestrator.training.advance import Limits, advance


def work(attempts: int = 1) -> Work:
    """The only pack of two trials of three steps."""
    (packed,) = Packer(plan("seed: [0, 1]"), lambda _: 2).packs()
    return Work(7, packed.pack, packed.planned, attempts)


def test_size_is_that_of_the_rows_since_the_last_commit() -> None:
    ledger, one = Ledger("{}"), work()
    chunk = advance(InlineTeam(), one.pack, Limits(1, math.inf))
    ledger.add(one, chunk)
    size = ledger.bytes
    rows, keys, states = ledger.take()
    assert (set(rows), len(keys), len(states)) == ({"steps", "gradients"}, 2, 2)
    assert (ledger.bytes, bool(ledger)) == (0, False)
    ledger.add(one, chunk)
    assert ledger.bytes == size > 0


@pytest.mark.parametrize("end", ["done", "failed", "cancelled"])
def test_row_of_a_trial_has_its_attempts_and_its_pack(end: str) -> None:
    ledger, one = Ledger('{"numpy": "2"}'), work(attempts=3)
    if end == "done":
        ledger.add(one, advance(InlineTeam(), one.pack, Limits(None, math.inf)))
    elif end == "failed":
        ledger.fail(Failed(one, "sick"))
    else:
        ledger.cancel(one)
    rows, _, states = ledger.take()
    trials = rows["trials"]
    assert states == {}
    assert list(trials["status"]) == [end] * 2
    assert list(trials["attempts"]) == [3, 3]
    assert list(trials["pack"]) == [7, 7]
    assert list(trials["index"]) == [0, 1]
    assert list(trials["error"]) == [{"failed": "sick"}.get(end)] * 2
    assert list(trials["versions"]) == ['{"numpy": "2"}'] * 2


def test_seconds_are_the_sum_of_all_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    monkeypatch.setattr(committing, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    counts: Any = SimpleNamespace(commits=0, commit_seconds=0.0)
    disk: Any = SimpleNamespace(commit=lambda *_: None)
    ledger, one = Ledger("{}"), work()
    with CommitThread(disk, ledger, counts, 0.0) as commits:
        for _ in range(3):
            ledger.cancel(one)
            commits.poll()
    assert (counts.commits, counts.commit_seconds) == (3, 3.0)  # one tick for each


def test_swept_keys_are_handed_over_when_a_trial_comes_back_for_the_first_time() -> None:
    ledger, one = Ledger("{}"), work()
    values = {trial: planned.keys for trial, planned in one.planned.items()}
    chunk = advance(InlineTeam(), one.pack, Limits(1, 60.0))
    ledger.add(one, chunk)
    _, keys, states = ledger.take()
    assert keys == values
    assert chunk.pack
    assert states.keys() == values.keys()
    ledger.add(Work(0, chunk.pack, one.planned), advance(InlineTeam(), chunk.pack, Limits(None, 60.0)))
    rows, keys, states = ledger.take()
    assert (sorted(rows["trials"]["trial"]), keys, states) == (sorted(values), {}, {})


def test_trial_that_fails_before_it_came_back_has_its_swept_keys() -> None:
    ledger, one = Ledger("{}"), work()
    ledger.fail(Failed(one, "error: no"))
    assert ledger.take()[1].keys() == set(one.pack.ids)
