"""The output of ``plan``: totals, omitted rows, estimated time, dead parameters, data files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from diary import Diary
from sweeps import NETWORK, plan, read, swept

import orchestrator
from orchestrator.cli import orchestrator as command_line
from orchestrator.driver.duration import Duration
from orchestrator.driver.estimate import Estimate, estimates
from orchestrator.sweep.file import Placement
from orchestrator.trial.pinned import load_problem
from orchestrator.trial.problem import format_bytes


def invoke(*words: object) -> Result:
    return CliRunner().invoke(command_line, [*map(str, words)])


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text(swept("model.hidden: [[2], [3]]", "seed: {range: 20}"))
    return tmp_path / "a.yaml"


def test_totals_are_of_all_structures_and_the_given_workers(sweep: Path) -> None:
    def totals(*more: object) -> dict[str, str]:
        lines = invoke("plan", sweep, "--trials", 0, *more).output.splitlines()
        return {row[0]: row[-1] for row in (re.split(r"\s{2,}", line.strip()) for line in lines) if row[0]}

    planned = read(sweep.read_text())
    for workers, packs in ((1, 4), (5, 20)):
        largest = max(one.shard_bytes for one in estimates(planned, workers))
        printed = totals("--workers", workers)
        assert (printed["trials"], printed["packs"]) == ("40", str(packs))
        assert printed["gradient evaluations"] == "480"
        assert printed["largest shard memory"] == format_bytes(largest)


def test_omitted_rows_are_counted(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(swept("steps: {range: [1, 16]}", "seed: [0, 1]"))
    lines = invoke("plan", tmp_path / "b.yaml", "--trials", 4).output.splitlines()
    assert [line for line in lines if line.startswith("…")] == ["… and 3 more", "… and 26 more"]
    assert sum(line.startswith(trial.id) for trial in plan("steps: [1]").trials() for line in lines) == 1


def test_packs_add_up_to_the_trials(sweep: Path) -> None:
    for pack, expected in ((15, "1 × 15, 1 × 5"), (10, "2 × 10"), (32, "1 × 20")):
        lines = invoke("plan", sweep, "--set", f"placement.pack={pack}").output.splitlines()
        rows = [re.split(r"\s{2,}", line) for line in lines if line.startswith("mlp")]
        assert [row[5:7] for row in rows] == [["20", expected]] * 2


class Timed:
    """Stands for the estimate of the time, and keeps what it was asked for."""

    def __call__(
        self, estimates: Sequence[Estimate], workers: int, placement: Placement, spent_s: float, joins: bool
    ) -> Duration:
        assert spent_s > 0
        self.work = [(one.trials, one.steps) for one in estimates]
        self.where = (workers, placement.threads, joins)
        return Duration(inline=30.0, on_ray=9000.0, start=12.0, sharing=())


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Timed:
    monkeypatch.setattr("orchestrator.fleet.cluster.find", lambda: None)
    monkeypatch.setattr("orchestrator.driver.duration.duration", timed := Timed())
    return timed


def test_time_is_estimated_for_the_given_workers_and_threads(sweep: Path, timed: Timed) -> None:
    output = invoke("plan", sweep, "--workers", 7, "--set", "placement.threads=3").output
    assert output.splitlines()[-1] == (
        "takes about 2 h 30 min on 7 workers with this machine's type of CPU, "
        "12 s of it to start a local Ray; about 30 s with --inline"
    )
    assert timed.work == [(20, 60), (20, 60)]
    assert timed.where == (7, 3, False)


def test_time_on_a_running_cluster_has_no_start_of_a_local_ray(
    sweep: Path, timed: Timed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.fleet.cluster.find", lambda: "ray://me:mine@head:6379")
    assert invoke("plan", sweep, "--workers", 7).output.splitlines()[-1] == (
        "takes about 2 h 30 min on 7 workers with this machine's type of CPU, "
        "on the Ray cluster at ray://***@head:6379; about 30 s with --inline"
    )
    assert timed.where == (7, 1, True)


def test_time_is_that_of_what_the_run_does_not_hold(sweep: Path, tmp_path: Path, timed: Timed) -> None:
    out, inline = tmp_path / "run", orchestrator.Where(inline=True)
    orchestrator.run(sweep, out, where=inline, overrides=["sweep.1.seed={range: 4}"])
    held, rest = invoke("plan", sweep, "--out", out).output.splitlines()[-2:]
    assert (held, timed.work) == (f"{out} holds 8 of 40 trials", [(16, 48), (16, 48)])
    assert rest.startswith("the rest takes about 2 h 30 min on ")
    small = ["placement={pack: 20, chunk_steps: 1, commit_seconds: 0}"]
    stopped = Diary(stop_after=1)
    assert not orchestrator.run(sweep, out, where=inline, overrides=small, watcher=stopped).finished
    held, rest = invoke("plan", sweep, "--out", out).output.splitlines()[-2:]
    assert held == f"{out} holds 8 of 40 trials, 16 begun"
    assert timed.work[1] == (16, 48)
    assert timed.work[0] in {(16, 32), (16, 16)}
    orchestrator.run(sweep, out, where=inline)
    assert invoke("plan", sweep, "--out", out).output.splitlines()[-2:] == [
        f"{out} holds 40 of 40 trials",
        "nothing left to run",
    ]


def test_parameters_outside_every_light_cone_are_dead(tmp_path: Path) -> None:
    model = "{kind: circuit, qubits: 2, layers: 1, observable: Z0}"
    base = NETWORK.replace("{kind: mlp, hidden: [2]}", model).replace("backprop", "adjoint")
    (tmp_path / "d.yaml").write_text(base.replace("binary-cross-entropy", "mse") + "sweep: []\n")
    built = load_problem(read((tmp_path / "d.yaml").read_text()).plan.structures[0].pinned).model
    lines = invoke("plan", tmp_path / "d.yaml", "--parameters").output.splitlines()
    rows = [line.split() for line in lines if line.split()[-1:] in (["dead"], ["live"])]
    assert [(row[1], row[-1] == "dead") for row in rows] == list(zip(built.names, built.dead, strict=True))
    assert 0 < sum(built.dead) < len(built.dead)


def test_files_of_all_structures_are_described(tmp_path: Path) -> None:
    base = NETWORK.replace("{source: moons, rows: 20}", "{source: file, path: a.npz, target: y}")
    (tmp_path / "c.yaml").write_text(swept("data.path: [a.npz, b.npz]", base=base))
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", **{name: np.arange(20.0), "y": np.arange(20) % 2})
    lines = [line for line in invoke("plan", tmp_path / "c.yaml").output.splitlines() if "data: " in line]
    assert lines == [f"data: {name}.npz: inputs {name}; target y, 2 classes (0, 1)" for name in ("a", "b")]
