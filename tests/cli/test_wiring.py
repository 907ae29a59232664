"""What is given to a verb reaches what does its work, and what that says reaches the user."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from stored_runs import open_writer
from sweeps import NETWORK, plan, read, swept

import orchestrator
from orchestrator.api import running
from orchestrator.cli import orchestrator as command_line
from orchestrator.cli import show
from orchestrator.cli.terminal import Terminal
from orchestrator.driver.counts import Counts
from orchestrator.driver.driver import Progress
from orchestrator.driver.duration import Duration
from orchestrator.driver.estimate import estimate
from orchestrator.driver.verify import Verification
from orchestrator.runs.control import Control
from orchestrator.runs.storage.folder import Folder
from orchestrator.runs.storage.owner import Owner
from orchestrator.trial.problem import size


def asked(*words: object) -> Result:
    return CliRunner().invoke(command_line, [*map(str, words)])


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text(swept("model.hidden: [[2], [3]]", "seed: {range: 20}"))
    return tmp_path / "a.yaml"


# --- run


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the only call of ``api.running.run`` was given; the sweep is then stopped by nobody."""
    found: dict[str, Any] = {}

    def run(sweep: Path, out: str | None, **options: Any) -> running.Result:
        found.update(sweep=sweep, out=out, **options)
        return running.Result(Path("run"), Progress(3), finished=False, failed=0)

    monkeypatch.setattr(running, "run", run)
    return found


def test_options_reach_the_run(given: dict[str, Any]) -> None:
    words = ("--workers", 3, "--address", "head:1", "--mixed-versions", "--retry-failed", "--trust", "json")
    asked("run", "a.yaml", "--out", "there", "--set", "base.steps=1", "--shipped", "below", *words)
    assert (given["sweep"], given["out"], given["root"]) == (Path("a.yaml"), "there", Path("below"))
    assert given["where"] == orchestrator.Where(inline=False, address="head:1", workers=3)
    assert given["overrides"] == ("base.steps=1",)
    assert given["trust"] == ("json",)
    assert (given["mixed_versions"], given["retry_failed"]) == (True, True)


def test_options_that_are_left_out_change_nothing(given: dict[str, Any]) -> None:
    assert asked("run", "a.yaml").exit_code == 130
    assert given["where"] == orchestrator.Where()
    assert (given["out"], given["mixed_versions"], given["retry_failed"]) == (None, False, False)


def test_run_that_was_terminated_leaves_as_terminated(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, watcher: Terminal, **__: Any) -> running.Result:
        watcher.signal = 15
        return running.Result(Path("run"), Progress(3), finished=False, failed=1, fed_up=("crash", 1))

    monkeypatch.setattr(running, "run", stopped)
    assert asked("run", "a.yaml").exit_code == 143


def test_job_is_gone_on_with_by_the_command_that_started_it(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["orchestrator", "run", "my sweep.yaml"])
    to_go_on = "stopped; everything that came back is committed. To go on:\n  "
    assert asked("run", "a.yaml").output == f"{to_go_on}orchestrator run 'my sweep.yaml'\n"
    monkeypatch.setenv("ORCHESTRATOR_AGAIN", "orchestrator submit, as before")
    assert asked("run", "a.yaml").output == f"{to_go_on}orchestrator submit, as before\n"
    assert given["sweep"] == Path("a.yaml")


def test_cancel_asks_the_driver_and_waits_until_it_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_writer(tmp_path / "run"):
        pass
    driver = Owner.myself()
    owners = iter([driver, driver, driver, None])
    clock = SimpleNamespace(monotonic=lambda: 0.0, sleep=lambda _: None)
    monkeypatch.setattr(Folder, "owner", lambda _: next(owners))
    monkeypatch.setattr(importlib.import_module("orchestrator.cli.cancel"), "time", clock)
    assert asked("cancel", tmp_path / "run").output == (
        f"{driver} is to commit and stop …\n"
        "stopped; everything that came back is committed. To go on, run it again\n"
    )
    assert Control(Folder(tmp_path / "run")).cancelled
    assert list(owners) == []


# --- what a terminal shows


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


# --- plan


def test_totals_are_those_of_all_structures_for_the_workers_that_are_asked_for(sweep: Path) -> None:
    def totals(*more: object) -> dict[str, str]:
        lines = asked("plan", sweep, "--trials", 0, *more).output.splitlines()
        return {row[0]: row[-1] for row in (re.split(r"\s{2,}", line.strip()) for line in lines) if row[0]}

    planned = read(sweep.read_text())
    for workers, packs in ((1, 4), (5, 20)):
        structures = planned.plan.structures
        largest = max(estimate(planned, one, workers).shard_bytes for one in structures)
        found = totals("--workers", workers)
        assert (found["trials"], found["packs"]) == ("40", str(packs))
        assert found["gradient evaluations"] == "480"
        assert found["largest shard memory"] == size(largest)


def test_what_a_plan_does_not_list_is_counted(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(swept("steps: {range: [1, 16]}", "seed: [0, 1]"))
    lines = asked("plan", tmp_path / "b.yaml", "--trials", 4).output.splitlines()
    assert [line for line in lines if line.startswith("…")] == ["… and 3 more", "… and 26 more"]
    assert sum(line.startswith(trial.id) for trial in plan("steps: [1]").trials() for line in lines) == 1


def test_time_is_that_of_the_workers_and_threads_that_are_planned_for(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[tuple[int, int]] = []

    def duration(estimates: Any, workers: int, threads: int, spent_s: float) -> Duration:
        assert len(estimates) == 2
        assert spent_s > 0
        asked_for.append((workers, threads))
        return Duration(inline=30.0, on_ray=9000.0, start=12.0)

    monkeypatch.setattr("orchestrator.driver.duration.duration", duration)
    said = asked("plan", sweep, "--workers", 7, "--set", "placement.threads=3").output
    assert said.splitlines()[-1] == (
        "takes about 2 h 30 min on 7 workers like this machine's, 12 s of them until a local Ray is up; "
        "about 30 s with --inline"
    )
    assert asked_for == [(7, 3)]


def test_files_of_all_structures_are_described(tmp_path: Path) -> None:
    base = NETWORK.replace("{source: moons, rows: 20}", "{source: file, path: a.npz, target: y}")
    (tmp_path / "c.yaml").write_text(swept("data.path: [a.npz, b.npz]", base=base))
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", **{name: np.arange(20.0), "y": np.arange(20) % 2})
    lines = [line for line in asked("plan", tmp_path / "c.yaml").output.splitlines() if "data: " in line]
    assert lines == [f"data: {name}.npz: inputs {name}; target y, 2 classes (0, 1)" for name in ("a", "b")]


# --- verify and doctor


def test_verify_is_told_how_many_and_which(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(swept("seed: [0]"))
    where = orchestrator.Where(inline=True)
    orchestrator.run(tmp_path / "a.yaml", tmp_path / "run", where=where)
    asked_for: list[tuple[int, int]] = []

    def verify(run: Any, team: Any, count: int, seed: int, *_: Any) -> Verification:  # noqa: ARG001
        asked_for.append((count, seed))
        return Verification(1, 1, 0, 9, (), ())

    monkeypatch.setattr("orchestrator.driver.verify.verify", verify)
    asked("verify", tmp_path / "run")
    asked("verify", tmp_path / "run", "-k", 7, "--seed", 3)
    assert asked_for == [(20, 0), (7, 3)]


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (None, 0), (False, 1)])
def test_doctor_leaves_with_1_only_if_something_needed_is_missing(
    ok: bool | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    doctor: Any = importlib.import_module("orchestrator.cli.doctor")
    for check in ("_aer", "_gpu", "_ray", "_kernel_cache"):
        monkeypatch.setattr(doctor, check, lambda: (True, "this", "there"))
    monkeypatch.setattr(doctor, "_aer_package", lambda: (ok, "Aer", "what to do"))
    monkeypatch.setattr(doctor, "_PACKAGES", ("numpy",))
    said = asked("doctor")
    assert said.exit_code == code
    assert {True: "ok", None: "–", False: "no"}[ok] in said.output
