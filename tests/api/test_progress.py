"""The counts of a sweep: in its progress, in its run directory, and on the terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from diary import Diary
from sweeps import swept

import orchestrator
from orchestrator.api.running import Watcher
from orchestrator.cli import orchestrator as command_line
from orchestrator.driver.driver import Progress
from orchestrator.errors import CertificateError
from orchestrator.reports.status import status
from orchestrator.runs.control import Control
from orchestrator.runs.storage.folder import Folder
from orchestrator.sweep.file import Sweep

INLINE = orchestrator.Where(inline=True)
SWEEP = swept("updates.1.learning_rate: [0.1, 1e+308]", "seed: {range: 4}") + "placement: {pack: 4}\n"
"""Eight trials of three steps, of which the last four diverge."""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text(SWEEP)
    return tmp_path / "a.yaml"


def left(out: Path) -> tuple[int, int]:
    """Steps and trials that are left, as the run's progress file has them."""
    progress = Control(Folder(out)).progress()
    assert progress
    assert status(out).left == progress.trials - progress.ended
    return progress.steps_left, progress.trials - progress.ended


def test_diverged_trials_leave_no_steps_to_be_done(sweep: Path, tmp_path: Path) -> None:
    progress = orchestrator.run(sweep, tmp_path / "run", where=INLINE).progress
    assert (progress.diverged, progress.ended, progress.steps_left) == (4, 8, 0)
    assert progress.steps < 8 * 3
    assert left(tmp_path / "run") == (0, 0)


def test_failed_trials_leave_no_steps_to_be_done(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise CertificateError("the gradient is 2, the check says 1")

    monkeypatch.setattr("orchestrator.training.loop.shard_gradient", fail)
    progress = orchestrator.run(sweep, tmp_path / "run", where=INLINE).progress
    assert (progress.failed, progress.ended, progress.steps_left) == (8, 8, 0)
    assert left(tmp_path / "run") == (0, 0)


def test_trials_of_a_pack_that_fail_in_the_same_way_are_counted_one_by_one(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise CertificateError("the gradient is 2, the check says 1")

    monkeypatch.setattr("orchestrator.training.loop.shard_gradient", fail)
    early = ["stop_after.identical_failures=4"]
    result = orchestrator.run(sweep, tmp_path / "run", where=INLINE, overrides=early)
    assert (result.finished, result.failed, result.exit_code) == (False, 4, 1)
    assert result.stopped_by
    assert result.stopped_by[1] == 4


def test_stopped_trials_leave_no_steps_to_be_done(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"

    class Stopping(Watcher):
        def opened(self, sweep: Sweep, *_: Any) -> None:
            ids = [trial.id for trial in sweep.plan.trials()]
            Control(Folder(out)).stop([ids[0], ids[5]])

    monkeypatch.setattr("orchestrator.driver.control_loop._POLL_S", 0.0)
    small = ["placement.chunk_steps=1", "placement.commit_seconds=0"]
    result = orchestrator.run(sweep, out, where=INLINE, watcher=Stopping(), overrides=small)
    assert (result.progress.cancelled, result.progress.ended, result.progress.steps_left) == (2, 8, 0)
    assert left(out) == (0, 0)


def test_cancel_request_is_removed_once_it_is_carried_out(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = Control(Folder(tmp_path / "run"))

    class Cancelling(Watcher):
        def advanced(self, progress: Progress) -> None:
            if progress.commits == 1:
                control.cancel()

    monkeypatch.setattr("orchestrator.driver.control_loop._POLL_S", 0.0)
    small = ["placement.chunk_steps=1", "placement.commit_seconds=0"]
    result = orchestrator.run(sweep, tmp_path / "run", where=INLINE, watcher=Cancelling(), overrides=small)
    assert (result.finished, control.cancelled) == (False, False)


def test_trials_that_ended_before_are_counted(sweep: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    orchestrator.run(sweep, out, where=INLINE, overrides=["sweep.1.seed={range: 3}"])
    output = CliRunner().invoke(command_line, ["run", str(sweep), "--inline", "--out", str(out)]).stdout
    assert "small: 8 trials (6 kept, 0 begun, 2 new) → " in output
    assert "\n8 of 8 trials, " in output
    assert ", 1 diverged\nfinishing the tables\n" in output
    assert left(out) == (0, 0)


def test_damaged_commits_and_retried_failures_are_printed(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    words = ["run", str(sweep), "--inline", "--out", str(out)]

    def fail(*_: Any) -> None:
        raise ValueError("failed")

    with monkeypatch.context() as patched:
        patched.setattr("orchestrator.training.loop.shard_gradient", fail)
        stopped = ["placement.commit_seconds=0", "placement.pack=1"]
        orchestrator.run(sweep, out, where=INLINE, overrides=stopped, watcher=Diary(stop_after=2))
    (max((out / "commits").iterdir()) / "trials.arrow").write_bytes(b"damaged")
    result = CliRunner().invoke(command_line, [*words, "--retry-failed"])
    assert result.exit_code == 0
    assert "removed 1 damaged commit; their trials resume from their last intact state\n" in result.stderr
    assert "8 trials (0 kept, 0 begun, 8 new, 1 of them failed before) → " in result.stdout


def test_trial_started_between_the_start_and_the_end_of_its_run(sweep: Path, tmp_path: Path) -> None:
    before = datetime.now(UTC)
    orchestrator.run(sweep, tmp_path / "run", where=INLINE)
    started = pd.to_datetime(pd.read_parquet(tmp_path / "run" / "trials").started_at, utc=True)
    assert (started >= pd.Timestamp(before).floor("ms")).all()
    assert (started <= pd.Timestamp(datetime.now(UTC))).all()
