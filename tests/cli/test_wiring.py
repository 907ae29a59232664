"""What is given to a verb reaches what does its work."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from stored_runs import finish, open_writer
from sweeps import swept

import orchestrator
from orchestrator.api import running
from orchestrator.cli import orchestrator as command_line
from orchestrator.cli.terminal import Terminal
from orchestrator.driver.driver import Progress
from orchestrator.driver.verify import Verification
from orchestrator.runs.control import Control
from orchestrator.runs.storage.folder import Folder
from orchestrator.runs.storage.owner import Owner


def asked(*words: object) -> Result:
    return CliRunner().invoke(command_line, [*map(str, words)])


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
        return running.Result(Path("run"), Progress(3), finished=False, failed=1, stopped_by=("crash", 1))

    monkeypatch.setattr(running, "run", stopped)
    assert asked("run", "a.yaml").exit_code == 143


@pytest.mark.parametrize(("failed", "code"), [(0, 0), (2, 1)])
def test_finished_run_leaves_with_1_if_a_trial_failed(
    failed: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(tmp_path / "run", range(2))
    ended = running.Result(tmp_path / "run", Progress(2), finished=True, failed=failed)
    monkeypatch.setattr(running, "run", lambda *_, **__: ended)
    said = asked("run", "a.yaml")
    assert said.exit_code == code
    assert f"The tables are in {tmp_path}/run/" in said.output


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
