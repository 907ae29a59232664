"""Verbs that act on a running run through its directory, and its status."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result

import orchestrator
from orchestrator.api.running import Watcher
from orchestrator.cli import orchestrator as command_line
from orchestrator.driver.driver import Progress
from orchestrator.errors import InputError, OrchestratorError, RunDirectoryError
from orchestrator.reports.status import status
from orchestrator.runs.control import Control, SavedProgress
from orchestrator.runs.digest import digest
from orchestrator.runs.storage.folder import Folder

SWEEP = """\
name: slow
base:
  data: {source: parity, bits: 3, scale: none}
  model: {kind: mlp, hidden: [2]}
  loss: binary-cross-entropy
  gradient: {engine: backprop}
  updates: [{optimizer: sgd, learning_rate: 0.5}]
  batch: {size: 2}
  steps: 12
sweep: [seed: {range: 6}]
placement: {pack: 2, chunk_steps: 4, commit_seconds: 0}
"""
INLINE = orchestrator.Where(inline=True)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "slow.yaml"
    path.write_text(SWEEP)
    return path


@pytest.fixture(scope="module")
def finished(sweep: Path) -> Path:
    """An undisturbed run."""
    return orchestrator.run(sweep, sweep.parent / "undisturbed", where=INLINE).out


@pytest.fixture(scope="module")
def ids(sweep: Path) -> list[str]:
    from orchestrator.sweep.file import load

    return [trial.id for trial in load(sweep).plan.trials()]


def invoke(*words: str) -> Result:
    return CliRunner().invoke(command_line, words)


class Commanding(Watcher):
    """Runs commands after the first commit, as another process would."""

    def __init__(self, *commands: tuple[str, ...]) -> None:
        self.commands = commands
        self.outputs: list[str] = []

    def advanced(self, progress: Progress) -> None:
        if progress.commits == 1 and not self.outputs:
            self.outputs = [invoke(*command).output for command in self.commands]


@pytest.fixture(autouse=True)
def poll_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Polls for requests at every chunk, as these sweeps take less than a second."""
    monkeypatch.setattr("orchestrator.driver.control_loop._POLL_S", 0.0)


def test_stopped_trials_end_as_cancelled_and_the_others_as_usual(
    sweep: Path, ids: list[str], finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    watcher = Commanding(("stop", str(out), ids[0], ids[5]))
    result = orchestrator.run(sweep, out, where=INLINE, watcher=watcher)
    assert watcher.outputs == [f"asked the driver to end {ids[0]}, {ids[5]}\n"]
    assert (result.finished, result.exit_code, result.progress.cancelled) == (True, 0, 2)
    trials = pd.read_parquet(out / "trials").set_index("trial")
    assert [trials.status[trial] for trial in ids] == ["cancelled", *["done"] * 4, "cancelled"]
    assert 0 < trials.steps[ids[0]] < 12
    assert trials.steps[ids[5]] == 0  # its pack had not begun
    steps = pd.read_parquet(out / "steps")
    assert steps.groupby("trial").step.count()[ids[0]] == trials.steps[ids[0]]
    expected = pd.read_parquet(finished / "steps").set_index(["trial", "step"]).loss
    others = steps[steps.trial.isin(ids[1:5])].set_index(["trial", "step"]).loss
    assert others.equals(expected.reindex(others.index))
    assert not (out / "control").exists()
    again = orchestrator.run(sweep, out, where=INLINE)
    assert (again.progress.kept, again.progress.steps) == (6, 0)


def test_cancelled_run_commits_stops_and_goes_on_later(sweep: Path, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"

    class Cancelling(Watcher):
        def advanced(self, progress: Progress) -> None:
            if progress.commits == 1:
                Control(Folder(out)).cancel()  # the verb would wait for the end of this process

    result = orchestrator.run(sweep, out, where=INLINE, watcher=Cancelling())
    assert not result.finished
    assert result.progress.commits < 6
    assert orchestrator.run(sweep, out, where=INLINE).finished
    assert digest(orchestrator.open_run(out)) == digest(orchestrator.open_run(finished))


def test_request_to_stop_does_not_reach_the_next_driver(sweep: Path, tmp_path: Path) -> None:
    class Stopping(Watcher):
        def running(self, stop: Callable[[], None]) -> AbstractContextManager[Any]:
            stop()
            return super().running(stop)

    assert not orchestrator.run(sweep, tmp_path / "run", where=INLINE, watcher=Stopping()).finished
    Control(Folder(tmp_path / "run")).cancel()
    assert orchestrator.run(sweep, tmp_path / "run", where=INLINE).finished


def test_status_names_ended_trials_and_the_driver(sweep: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    seen = []

    class Looking(Watcher):
        def advanced(self, progress: Progress) -> None:
            if progress.ended >= 2 and not seen:
                seen.extend([status(out), invoke("status", str(out)).output])

    orchestrator.run(sweep, out, where=INLINE, watcher=Looking())
    during, text = seen
    assert (during.ended, during.left, during.finished) == ({"done": 2}, 4, False)
    assert during.driver is not None
    assert during.committed_s < 60
    assert during.rate > 0
    assert text.startswith("trials       2 done, 4 left\nlast commit  ")
    assert f"driver       {during.driver}\n" in text
    after = status(out)
    assert (after.ended, after.left, after.driver, after.finished) == ({"done": 6}, 0, None, True)
    assert invoke("status", str(out)).output.endswith("driver       none running\ntables       finished\n")


def test_verbs_without_a_driver_say_so(ids: list[str], finished: Path, tmp_path: Path) -> None:
    run = str(finished)
    assert (
        str(invoke("cancel", run).exception)
        == f"{run}: no driver is running here, there is nothing to cancel"
    )
    assert (
        str(invoke("stop", run, ids[0]).exception)
        == f"{run}: no driver is running here, there is no trial to stop"
    )
    for verb in (["status"], ["cancel"]):
        assert isinstance(invoke(*verb, str(tmp_path)).exception, OrchestratorError)
    with pytest.raises(RunDirectoryError, match="is not a run"):
        status(tmp_path)


def test_every_word_that_is_no_trial_id_is_named(tmp_path: Path) -> None:
    error = invoke("stop", str(tmp_path), "all", "0123456789ABCDEF").exception
    assert isinstance(error, InputError)
    assert [fault.message for fault in error.faults] == [
        "is 'all', must be an id of 16 hexadecimal digits",
        "is '0123456789ABCDEF', must be an id of 16 hexadecimal digits",
    ]


def test_standing_is_that_of_the_last_commit(sweep: Path, tmp_path: Path) -> None:
    before = time.time()
    orchestrator.run(sweep, tmp_path / "run", where=INLINE)
    progress = Control(Folder(tmp_path / "run")).progress()
    assert progress is not None
    assert (progress.trials, progress.ended, progress.steps, progress.steps_left) == (6, 6, 72, 0)
    assert before <= progress.started_at <= progress.written_at <= time.time()


def test_disk_that_fails_under_requests_and_standing_is_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    control = Control(Folder(tmp_path))
    for operation in ("create", "delete", "names", "read"):
        monkeypatch.setattr(Folder, operation, full)
    calls = (
        lambda: control.write(SavedProgress(1, 0, 0, 1, 0.0, 0.0)),
        control.cancel,
        control.forget_cancel,
        lambda: control.stopped,
        control.progress,
    )
    for call in calls:
        with pytest.raises(
            RunDirectoryError, match=rf"^{tmp_path}: No space left on device; what was committed"
        ):
            call()


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"",
        b"[]",
        b"\xff",
        b'{"trials": 6}',
        b'{"trials": "6", "ended": 0, "steps": 0, "steps_left": 0, "started_at": 0, "written_at": 0}',
        b'{"trials": 6, "ended": 0, "steps": 0, "steps_left": 0, "started_at": true, "written_at": 0}',
        b'{"trials": 6, "ended": 0, "steps": 0, "steps_left": 0, "started_at": NaN, "written_at": 0}',
    ],
)
def test_status_shows_the_rest_where_progress_is_damaged(text: bytes, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "progress.json").write_bytes(text)
    result = CliRunner().invoke(command_line, ["status", str(tmp_path / "run")])
    assert result.exit_code == 0
    assert "6 done" in result.output
    assert "progress.json is damaged or of another version; a driver rewrites it" in result.output
    assert "finished" in result.output


def test_saved_progress_of_a_newer_version_is_read_as_far_as_it_is_known() -> None:
    progress = SavedProgress(6, 2, 10, 20, 1.0, 2.5)
    text = json.dumps({**asdict(progress), "more": "x"})
    assert SavedProgress.read(text.encode()) == progress
