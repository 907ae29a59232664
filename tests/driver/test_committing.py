"""Commits run in parallel with the sweep, and none is lost."""

from __future__ import annotations

from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from waiting import until

from orchestrator.driver import committing
from orchestrator.driver.committing import CommitThread


class FakeLedger:
    """A ledger of numbers instead of rows."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    @property
    def bytes(self) -> int:
        return 10 * len(self.rows)

    def __bool__(self) -> bool:
        return bool(self.rows)

    def take(self) -> tuple[list[int], None, None]:
        taken, self.rows = self.rows, []
        return taken, None, None


class FakeDisk:
    """Keeps committed rows once ``ready`` is set."""

    def __init__(self) -> None:
        self.kept: list[list[int]] = []
        self.ready = Event()

    def commit(self, rows: list[int], keys: Any, states: Any) -> None:
        assert keys is states is None
        assert self.ready.wait(60)
        self.kept.append(rows)


@pytest.fixture
def counts() -> Any:
    return SimpleNamespace(commits=0, commit_seconds=0.0)


def test_driver_goes_on_during_a_commit(counts: Any) -> None:
    ledger, disk = FakeLedger(), FakeDisk()
    with CommitThread(disk, ledger, counts, 1e-9) as commits:  # type: ignore[arg-type]
        ledger.rows += [1, 2]
        commits.poll()
        ledger.rows += [3]
        commits.poll()
        assert (counts.commits, ledger.rows, disk.kept) == (0, [3], [])
        disk.ready.set()
        until(lambda: commits.poll() or counts.commits == 1)
        commits.finish()
    assert (counts.commits, disk.kept) == (2, [[1, 2], [3]])


def test_with_no_time_between_commits_the_driver_waits_for_each(counts: Any) -> None:
    ledger, disk = FakeLedger(), FakeDisk()
    disk.ready.set()
    with CommitThread(disk, ledger, counts, 0.0) as commits:  # type: ignore[arg-type]
        for row in (1, 2):
            ledger.rows += [row]
            commits.poll()
            assert counts.commits == row
    assert disk.kept == [[1], [2]]


def test_rows_do_not_pile_up_when_the_disk_is_slow(counts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committing, "COMMIT_BYTES", 25)
    ledger, disk = FakeLedger(), FakeDisk()
    with CommitThread(disk, ledger, counts, 1e9) as commits:  # type: ignore[arg-type]
        ledger.rows += [1, 2]
        commits.poll()
        assert ledger.rows  # neither time nor size is reached
        ledger.rows += [3]
        commits.poll()
        ledger.rows += [4, 5, 6]
        disk.ready.set()
        commits.poll()  # waits for the first
        assert disk.kept[0] == [1, 2, 3]
        commits.finish()
    assert disk.kept == [[1, 2, 3], [4, 5, 6]]


def test_error_of_a_commit_reaches_the_driver(counts: Any) -> None:
    class Full:
        def commit(self, *_: Any) -> None:
            raise OSError("disk full")

    ledger = FakeLedger()
    with CommitThread(Full(), ledger, counts, 1e9) as commits:  # type: ignore[arg-type]
        ledger.rows += [1]
        with pytest.raises(OSError, match="disk full"):
            commits.finish()
    assert counts.commits == 0
