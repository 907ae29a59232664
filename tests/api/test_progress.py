"""What a sweep counts while it runs, and what of its placement reaches those that do the work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from diary import Diary
from sweeps import read, swept

import orchestrator
from orchestrator.api import placing, running
from orchestrator.api.running import Watcher
from orchestrator.cli import orchestrator as command_line
from orchestrator.driver.counts import Counts
from orchestrator.driver.driver import Progress
from orchestrator.errors import CertificateError
from orchestrator.fleet.inline import InlineFleet
from orchestrator.reports.status import status
from orchestrator.runs.control import Control
from orchestrator.runs.storage.folder import Folder
from orchestrator.runs.writer import RunWriter
from orchestrator.sweep.file import Sweep

INLINE = orchestrator.Where(inline=True)
SWEEP = swept("updates.1.learning_rate: [0.1, 1e+308]", "seed: {range: 4}") + "placement: {pack: 4}\n"
"""Eight trials of three steps, of which the last four diverge."""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text(SWEEP)
    return tmp_path / "a.yaml"


class Steps(Watcher):
    """Notes how many trial-steps were done, each time that there are more; what the run holds at first."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def opened(self, sweep: Sweep, out: Path | str, counts: Counts) -> None:  # noqa: ARG002
        self.counts = counts

    def advanced(self, progress: Progress) -> None:
        if progress.steps and progress.steps not in self.steps:
            self.steps.append(progress.steps)


def left(out: Path) -> tuple[int, int]:
    """Steps and trials that are left by what the run says of itself."""
    standing = Control(Folder(out)).standing()
    assert standing
    assert status(out).left == standing.trials - standing.ended
    return standing.steps_left, standing.trials - standing.ended


# --- counts


def test_diverged_trials_leave_no_steps_to_be_done(sweep: Path, tmp_path: Path) -> None:
    progress = orchestrator.run(sweep, tmp_path / "run", where=INLINE).progress
    assert (progress.diverged, progress.ended, progress.steps_left) == (4, 8, 0)
    assert progress.steps < 8 * 3
    assert left(tmp_path / "run") == (0, 0)


def test_failed_trials_leave_no_steps_to_be_done(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sick(*_: Any) -> None:
        raise CertificateError("the gradient is 2, the check says 1")

    monkeypatch.setattr("orchestrator.training.loop.shard_gradient", sick)
    progress = orchestrator.run(sweep, tmp_path / "run", where=INLINE).progress
    assert (progress.failed, progress.ended, progress.steps_left) == (8, 8, 0)
    assert left(tmp_path / "run") == (0, 0)


def test_trials_of_a_pack_that_fail_alike_are_counted_one_by_one(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sick(*_: Any) -> None:
        raise CertificateError("the gradient is 2, the check says 1")

    monkeypatch.setattr("orchestrator.training.loop.shard_gradient", sick)
    early = ["stop_after.identical_failures=4"]
    result = orchestrator.run(sweep, tmp_path / "run", where=INLINE, overrides=early)
    assert (result.finished, result.failed, result.exit_code) == (False, 4, 1)
    assert result.fed_up
    assert result.fed_up[1] == 4


def test_stopped_trials_leave_no_steps_to_be_done(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"

    class Stopping(Watcher):
        def opened(self, sweep: Sweep, *_: Any) -> None:
            ids = [trial.id for trial in sweep.plan.trials()]
            Control(Folder(out)).stop([ids[0], ids[5]])

    monkeypatch.setattr("orchestrator.driver.desk._LOOK_S", 0.0)
    small = ["placement.chunk_steps=1", "placement.commit_seconds=0"]
    result = orchestrator.run(sweep, out, where=INLINE, watcher=Stopping(), overrides=small)
    assert (result.progress.cancelled, result.progress.ended, result.progress.steps_left) == (2, 8, 0)
    assert left(out) == (0, 0)


@pytest.mark.parametrize("stops", [False, True])
def test_last_commit_is_that_of_a_sweep_that_nobody_stopped(
    stops: bool, sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is called the last commit may wait for the tables, which a stopped sweep does not finish."""
    told: list[bool] = []
    commit = RunWriter.commit

    def watched(writer: RunWriter, rows: Any, keys: Any, states: Any, last: bool = False) -> None:
        told.append(last)
        commit(writer, rows, keys, states, last)

    monkeypatch.setattr(RunWriter, "commit", watched)
    watcher = Diary(stop_after=0 if stops else None)
    rare = ["placement.commit_seconds=1e+9"]
    result = orchestrator.run(sweep, tmp_path / "run", where=INLINE, watcher=watcher, overrides=rare)
    assert (result.finished, told) == (not stops, [not stops])


def test_request_to_stop_is_gone_once_it_is_obeyed(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = Control(Folder(tmp_path / "run"))

    class Cancelling(Watcher):
        def advanced(self, progress: Progress) -> None:
            if progress.commits == 1:
                control.cancel()

    monkeypatch.setattr("orchestrator.driver.desk._LOOK_S", 0.0)
    small = ["placement.chunk_steps=1", "placement.commit_seconds=0"]
    result = orchestrator.run(sweep, tmp_path / "run", where=INLINE, watcher=Cancelling(), overrides=small)
    assert (result.finished, control.cancelled) == (False, False)


def test_trials_that_ended_before_have_ended_in_what_the_run_says(sweep: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    orchestrator.run(sweep, out, where=INLINE, overrides=["sweep.1.seed={range: 3}"])
    said = CliRunner().invoke(command_line, ["run", str(sweep), "--inline", "--out", str(out)])
    assert "small: 8 trials (6 kept, 0 begun, 2 new) → " in said.stdout
    assert "\n8 of 8 trials, " in said.stdout
    assert ", 1 diverged\nfinishing the tables\n" in said.stdout
    assert left(out) == (0, 0)


def test_damaged_commits_and_failures_that_are_taken_back_are_told(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    words = ["run", str(sweep), "--inline", "--out", str(out)]

    def sick(*_: Any) -> None:
        raise ValueError("sick")

    with monkeypatch.context() as patched:
        patched.setattr("orchestrator.training.loop.shard_gradient", sick)
        stopped = ["placement.commit_seconds=0", "placement.pack=1"]
        orchestrator.run(sweep, out, where=INLINE, overrides=stopped, watcher=Diary(stop_after=2))
    (max((out / "commits").iterdir()) / "trials.arrow").write_bytes(b"damaged")
    told = CliRunner().invoke(command_line, [*words, "--retry-failed"])
    assert told.exit_code == 0
    assert "swept away 1 damaged commit; their trials go on from the state before\n" in told.stderr
    assert "8 trials (0 kept, 0 begun, 8 new, 1 of them failed before) → " in told.stdout


def test_trial_started_between_the_start_and_the_end_of_its_run(sweep: Path, tmp_path: Path) -> None:
    before = datetime.now(UTC)
    orchestrator.run(sweep, tmp_path / "run", where=INLINE)
    started = pd.to_datetime(pd.read_parquet(tmp_path / "run" / "trials").started_at, utc=True)
    assert (started >= pd.Timestamp(before).floor("ms")).all()
    assert (started <= pd.Timestamp(datetime.now(UTC))).all()


# --- placement


@pytest.mark.parametrize(
    ("placement", "steps"),
    [
        ("{chunk_seconds: 0}", [4, 8, 12]),
        ("{chunk_seconds: 1e+9, chunk_steps: 2}", [8, 12]),
        ("{chunk_seconds: 1e+9}", [12]),
    ],
)
def test_worker_hands_back_as_placement_says(
    placement: str, steps: list[int], sweep: Path, tmp_path: Path
) -> None:
    watcher = Steps()
    changes = ["sweep.0={updates.1.learning_rate: [0.1]}", f"placement={placement}", "placement.pack=4"]
    orchestrator.run(sweep, tmp_path / "run", where=INLINE, overrides=changes, watcher=watcher)
    assert watcher.steps == steps


class Three(InlineFleet):
    """Three workers that take turns; notes how many helpers are lent to a task."""

    size = 3

    def __init__(self) -> None:
        super().__init__(lambda: None)
        self.lent: list[int] = []

    def submit(self, function: Callable[..., Any], *arguments: Any, helpers: int = 0) -> int:
        self.lent.append(helpers)
        return super().submit(function, *arguments, helpers=helpers)


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> Three:
    fleet = Three()

    @contextmanager
    def placed(*_: Any) -> Iterator[Three]:
        yield fleet

    monkeypatch.setattr(running, "placed", placed)
    return fleet


@pytest.mark.parametrize(
    ("shard_seconds", "steps", "lent"),
    [("0", [12], {1}), ("1e+9", [4, 12], {0}), ("1e-9", [4, 12], {0, 1})],
    ids=["always", "never", "if-it-costs-more"],
)
def test_helpers_are_lent_once_a_shard_is_known_to_cost_what_placement_says(
    shard_seconds: str, steps: list[int], lent: set[int], sweep: Path, tmp_path: Path, three: Three
) -> None:
    watcher = Steps()
    changes = ["sweep.0={updates.1.learning_rate: [0.1]}", f"placement.shard_seconds={shard_seconds}"]
    changes += ["placement.pack=4", "placement.chunk_seconds=1e+9"]
    orchestrator.run(sweep, tmp_path / "run", where=INLINE, overrides=changes, watcher=watcher)
    assert watcher.steps == steps
    assert set(three.lent) == lent


def test_what_is_left_of_a_sweep_is_cut_into_packs_for_all_workers(sweep: Path, tmp_path: Path) -> None:
    small = ["sweep.0={updates.1.learning_rate: [0.1]}", "placement.pack=null"]
    for seeds in (32, 40):
        changes = [*small, f"sweep.1.seed={{range: {seeds}}}"]
        orchestrator.run(sweep, tmp_path / "run", where=INLINE, overrides=changes)
    trials = pd.read_parquet(tmp_path / "run" / "trials")
    assert trials[trials.seed >= 32].groupby("pack").size().tolist() == [2, 2, 2, 2]


@pytest.mark.usefixtures("three")
def test_last_counts_reach_the_metrics_of_ray(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[str, int, int]] = []

    class Metrics:
        def __init__(self, name: str) -> None:
            self.name = name

        def report(self, counts: Progress) -> None:
            """Waits for its second."""

        def flush(self, counts: Progress) -> None:
            flushed.append((self.name, counts.ended, counts.steps))

    monkeypatch.setattr("orchestrator.fleet.metrics.RayMetrics", Metrics)
    progress = orchestrator.run(sweep, tmp_path / "run").progress
    assert flushed == [("small", 8, progress.steps)]


@pytest.mark.parametrize(("workers", "grows"), [(None, True), (3, False)])
def test_workers_are_asked_for_as_placement_and_the_neediest_engine_say(
    workers: int | None, grows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    @contextmanager
    def joined(*needs: Any) -> Iterator[tuple[str, int]]:
        asked.append(needs)
        yield "here", 5

    def fleet(*needs: Any, **options: Any) -> Any:
        asked.append((needs[0], needs[1], needs[3], options))
        return SimpleNamespace(close=lambda: asked.append("closed"))

    monkeypatch.setattr("orchestrator.fleet.cluster.joined", joined)
    monkeypatch.setattr("orchestrator.fleet.ray.RayFleet", fleet)
    monkeypatch.setattr(placing, "on_gpus", lambda _: (SimpleNamespace(gpus=1), SimpleNamespace(gpus=2)))
    sweep = read(SWEEP, "placement={threads: 4, memory: 2GiB}")
    with placing.placed(placing.Where(address="head:1", workers=workers), sweep, lambda *_: None):
        pass
    gib = 2 << 30
    assert asked == [
        ("head:1", workers, 4, 2, gib),
        (5, 4, 2, {"memory": gib, "grows": grows}),
        "closed",
    ]
