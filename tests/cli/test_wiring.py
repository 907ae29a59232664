"""The options of a verb reach the function that does its work."""

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


def invoke(*words: object) -> Result:
    return CliRunner().invoke(command_line, [*map(str, words)])


@pytest.fixture
def arguments(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments of the only call of ``api.running.run``, which returns an unfinished run."""
    received: dict[str, Any] = {}

    def run(sweep: Path, out: str | None, **options: Any) -> running.Result:
        received.update(sweep=sweep, out=out, **options)
        return running.Result(Path("run"), Progress(3), finished=False, failed=0)

    monkeypatch.setattr(running, "run", run)
    return received


def test_options_reach_the_run(arguments: dict[str, Any]) -> None:
    words = ("--workers", 3, "--address", "head:1", "--mixed-versions", "--retry-failed", "--trust", "json")
    invoke("run", "a.yaml", "--out", "there", "--set", "base.steps=1", "--shipped", "below", *words)
    assert (arguments["sweep"], arguments["out"], arguments["root"]) == (
        Path("a.yaml"),
        "there",
        Path("below"),
    )
    assert arguments["where"] == orchestrator.Where(inline=False, address="head:1", workers=3)
    assert arguments["overrides"] == ("base.steps=1",)
    assert arguments["trust"] == ("json",)
    assert (arguments["mixed_versions"], arguments["retry_failed"]) == (True, True)


def test_omitted_options_have_their_defaults(arguments: dict[str, Any]) -> None:
    assert invoke("run", "a.yaml").exit_code == 130
    assert arguments["where"] == orchestrator.Where()
    assert (arguments["out"], arguments["mixed_versions"], arguments["retry_failed"]) == (None, False, False)


def test_terminated_run_exits_with_143(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, watcher: Terminal, **__: Any) -> running.Result:
        watcher.signal = 15
        return running.Result(Path("run"), Progress(3), finished=False, failed=1, stopped_by=("crash", 1))

    monkeypatch.setattr(running, "run", stopped)
    assert invoke("run", "a.yaml").exit_code == 143


@pytest.mark.parametrize(("failed", "code"), [(0, 0), (2, 1)])
def test_finished_run_exits_with_1_if_a_trial_failed(
    failed: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(tmp_path / "run", range(2))
    ended = running.Result(tmp_path / "run", Progress(2), finished=True, failed=failed)
    monkeypatch.setattr(running, "run", lambda *_, **__: ended)
    result = invoke("run", "a.yaml")
    assert result.exit_code == code
    assert f"The tables are in {tmp_path}/run/" in result.output


def test_run_is_resumed_by_the_command_that_started_it(
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["orchestrator", "run", "my sweep.yaml"])
    stopped = "stopped; all results received are committed. To resume:\n  "
    assert invoke("run", "a.yaml").output.startswith(f"{stopped}orchestrator run 'my sweep.yaml'\n")
    monkeypatch.setenv("ORCHESTRATOR_AGAIN", "the same command")
    assert invoke("run", "a.yaml").output.startswith(f"{stopped}the same command\n")
    assert arguments["sweep"] == Path("a.yaml")


@pytest.mark.usefixtures("arguments")
def test_stopped_run_names_the_command_that_reads_it() -> None:
    assert invoke("run", "a.yaml").output.endswith(
        "\nThe tables are in folders once the run has finished. To read it already now:\n"
        "  orchestrator analyse run\n"
    )


def test_cancel_asks_the_driver_and_waits_for_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_writer(tmp_path / "run"):
        pass
    driver = Owner.myself()
    owners = iter([driver, driver, driver, None])
    clock = SimpleNamespace(monotonic=lambda: 0.0, sleep=lambda _: None)
    monkeypatch.setattr(Folder, "owner", lambda _: next(owners))
    monkeypatch.setattr(importlib.import_module("orchestrator.cli.cancel"), "time", clock)
    cancelled = invoke("cancel", tmp_path / "run")
    assert (cancelled.exit_code, cancelled.output) == (
        0,
        f"asked {driver} to commit and stop …\n"
        "stopped; all results received are committed. To resume, run the sweep again\n",
    )
    assert Control(Folder(tmp_path / "run")).cancelled
    assert list(owners) == []


def test_verify_receives_count_and_seed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(swept("seed: [0]"))
    where = orchestrator.Where(inline=True)
    orchestrator.run(tmp_path / "a.yaml", tmp_path / "run", where=where)
    received: list[tuple[int, int]] = []

    def verify(run: Any, team: Any, count: int, seed: int, *_: Any) -> Verification:  # noqa: ARG001
        received.append((count, seed))
        return Verification(1, 1, 0, 9, (), ())

    monkeypatch.setattr("orchestrator.driver.verify.verify", verify)
    invoke("verify", tmp_path / "run")
    invoke("verify", tmp_path / "run", "-k", 7, "--seed", 3)
    assert received == [(20, 0), (7, 3)]


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (None, 0), (False, 1)])
def test_doctor_exits_with_1_only_if_something_needed_is_missing(
    ok: bool | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    doctor: Any = importlib.import_module("orchestrator.cli.doctor")
    for check in ("_aer", "_gpu", "_ray", "_kernel_cache"):
        monkeypatch.setattr(doctor, check, lambda: (True, "this", "there"))
    monkeypatch.setattr(doctor, "_aer_package", lambda: (ok, "Aer", "what to do"))
    monkeypatch.setattr(doctor, "_PACKAGES", ("numpy",))
    result = invoke("doctor")
    assert result.exit_code == code
    assert {True: "ok", None: "–", False: "no"}[ok] in result.output


def test_doctor_names_the_folder_where_numba_caches_the_kernel() -> None:
    from orchestrator.backends.batched import kernel

    doctor: Any = importlib.import_module("orchestrator.cli.doctor")
    ok, _, folder = doctor._kernel_cache()
    assert ok
    assert Path(folder) in Path(kernel.evaluate.stats.cache_path).parents
