"""What verbs say of jobs on a cluster, and hand to them; no Ray runs here."""

from __future__ import annotations

import importlib
import shlex
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from far_jobs import URL, Client, details, far_cluster
from sweeps import swept

from orchestrator.cli import orchestrator as command_line
from orchestrator.errors import FleetError
from orchestrator.fleet import packages
from orchestrator.fleet.jobs import Jobs
from orchestrator.fleet.packages import PackageDifferences, compare, needed

AT = ("--address", URL)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    """A cluster on which two runs have had jobs, one of them two."""
    found = far_cluster(monkeypatch)
    found.add(
        details("deep-1-2", "deep", "RUNNING", 4000.0),
        details("deep-1", "deep", "FAILED", 1000.0, ended_s=1090.0, code=3, message="head\nlost"),
        details("wide-1", "wide", "SUCCEEDED", 5000.0, ended_s=5300.0, code=0),
    )
    return found


def asked(*words: object) -> Result:
    return CliRunner().invoke(command_line, [*map(str, words)])


# --- jobs that are there


def test_status_is_of_the_jobs_of_a_run_and_of_the_last_line_that_the_newest_has_printed(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.printed["deep-1-2"] = "1 of 9 trials, 5 steps/s\n2 of 9 trials, 7 steps/s\nfinishing the tables\n"
    module = importlib.import_module("orchestrator.cli.status")  # in its package, a command has that name
    clock = SimpleNamespace(time=lambda: 4060.0, strftime=time.strftime, localtime=time.localtime)
    monkeypatch.setattr(module, "time", clock)
    lines = [line.split() for line in asked("status", "deep", *AT).output.splitlines()]
    rows = [line for line in lines if line and line[0].startswith(("deep", "wide"))]
    assert [row[0] for row in rows] == ["deep-1", "deep-1-2"]
    assert rows[0][1:5] == ["failed", "(exit", "code", "3)"]
    assert rows[0][-4:] == ["about", "90", "s", "s3://bucket/deep"]
    assert rows[1][1] == "running"
    assert rows[1][2].startswith("1970-01-0")
    assert rows[1][-4:] == ["about", "60", "s", "s3://bucket/deep"]
    assert lines[-1] == ["2", "of", "9", "trials,", "7", "steps/s"]


def test_job_that_has_said_nothing_is_told_by_what_ray_says(client: Client) -> None:
    assert asked("status", "deep-1", *AT).output.endswith("\nhead lost\n")
    assert asked("status", "wide", *AT).output.endswith("\nit has not said yet how far it is\n")
    assert client.stopped == []


def test_cancel_stops_the_newest_job_and_none_that_has_ended(client: Client) -> None:
    assert asked("cancel", "wide", *AT).output == "wide-1 has ended before: succeeded\n"
    assert client.stopped == []
    assert asked("cancel", "deep", *AT).output.endswith("deep-1-2: stopped; to go on, submit it again\n")
    assert client.stopped == ["deep-1-2"]


def test_logs_are_those_of_the_newest_job(client: Client) -> None:
    client.printed |= {"deep-1": "old\n", "deep-1-2": "new\n"}
    assert asked("logs", "deep", *AT).output == "new\n"


@pytest.mark.parametrize(
    ("status", "code", "left"),
    [
        ("SUCCEEDED", 0, 0),
        ("FAILED", 3, 3),
        ("FAILED", None, 1),
        ("FAILED", 0, 1),
        ("STOPPED", None, 143),
        ("STOPPED", 0, 143),
    ],
)
def test_who_follows_a_job_leaves_as_it_does(
    status: str, code: int | None, left: int, client: Client
) -> None:
    client.add(details("one", "one", status, 1.0, ended_s=2.0, code=code))
    client.printed["one"] = "working\n"
    followed = asked("logs", "one", "--follow", *AT)
    assert (followed.exit_code, followed.output) == (left, f"working\none: {status.lower()}\n")


def test_run_on_a_cluster_may_be_called_like_a_folder_here(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wide").mkdir()
    client.printed["wide-1"] = "9 of 9 trials, 7 steps/s\n"
    assert asked("status", "wide", *AT).output.endswith("\n9 of 9 trials, 7 steps/s\n")


def test_jobs_are_told_apart_by_their_whole_names_and_by_who_started_them(client: Client) -> None:
    foreign = details("foreign", "", "RUNNING", 9000.0)
    foreign.metadata = None
    client.add(foreign, details("deep-1-4", "deep", "STOPPED", 4500.0, ended_s=4600.0))
    client.add(details("deep-12", "deep", "RUNNING", 4700.0), details("wider", "wider", "RUNNING", 8000.0))
    jobs = Jobs(URL)
    assert [job.id for job in jobs.jobs()] == ["deep-1", "deep-1-2", "deep-1-4", "deep-12", "wide-1", "wider"]
    assert jobs.living("deep-1") is None  # its newest successor has ended
    assert jobs.living("deep-1-2") is not None
    assert jobs.living("wid") is jobs.living("deep-1-") is None
    job, new = jobs.submit("deep-1", "deep", "s3://bucket/deep", "true", {})
    assert (job.id, new) == ("deep-1-5", True)
    assert jobs.submit("deep-1", "deep", "s3://bucket/deep", "true", {}) == (job, False)


# --- jobs that are submitted


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text(swept("seed: {range: 2}"))
    return tmp_path / "a.yaml"


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        packages, "probe_cluster", lambda _: PackageDifferences((), {"numpy": ("1.0", "2.0")})
    )


def command(client: Client) -> list[str]:
    """What the only job that was started runs."""
    (started,) = client.started
    return shlex.split(started["entrypoint"])


@pytest.mark.usefixtures("complete")
def test_options_reach_the_job(client: Client, sweep: Path) -> None:
    more = ("--workers", 3, "--mixed-versions", "--trust", "json", "--set", "base.steps=5")
    said = asked("submit", sweep, *AT, "--out", "s3://bucket/x", *more)
    assert said.exit_code == 0, said.output
    words = command(client)
    assert words[:5] == ["exec", "python", "-m", "orchestrator", "run"]
    assert words[-5:] == ["--out", "s3://bucket/x", "--workers=3", "--mixed-versions", "--trust=json"]
    assert client.started[0]["metadata"] == {
        "orchestrator_run": "small",
        "orchestrator_out": "s3://bucket/x",
    }
    assert "the cluster computes with numpy 1.0 (here 2.0); --pip takes" in said.stderr
    assert client.started[0]["runtime_env"]["env_vars"] == {
        "RAY_JOB_STOP_WAIT_TIME_S": "600",  # else Ray kills it before it has committed
        "ORCHESTRATOR_AGAIN": "orchestrator submit, as before",
    }


@pytest.mark.usefixtures("complete", "client")
def test_how_to_fetch_a_run_from_another_machine_is_said(sweep: Path) -> None:
    said = asked("submit", sweep, *AT, "--out", "/data/x", "--leave-on-head")
    assert (
        "the run is kept on the head only; before the cluster ends:\n  scp -r far:/data/x .\n" in said.output
    )


@pytest.mark.usefixtures("complete")
def test_job_is_another_one_for_another_place_or_another_sweep(client: Client, sweep: Path) -> None:
    for more in ((), (), ("--set", "base.steps=5")):
        assert asked("submit", sweep, *AT, "--out", "s3://bucket/x", *more).exit_code == 0
    assert asked("submit", sweep, *AT, "--out", "s3://bucket/y").exit_code == 0
    names = [started["submission_id"] for started in client.started]
    assert len(names) == len(set(names)) == 3  # the second one was there already


def test_cluster_that_lacks_packages_is_refused_unless_they_are_sent(
    client: Client, sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "probe_cluster", lambda _: PackageDifferences(("numba", "click"), {}))
    ask = ("submit", sweep, *AT, "--out", "s3://bucket/x")
    error = asked(*ask).exception
    assert isinstance(error, FleetError)
    assert str(error) == f"the cluster at {URL} lacks numba, click; install it there, or give --pip"
    assert client.started == []
    assert asked(*ask, "--pip").exit_code == 0
    (started,) = client.started
    assert f"numpy=={needed()['numpy']}" in started["runtime_env"]["pip"]
    assert "orchestrator/api/running.py" in started["members"]


BOUND = """\
name: bound
base:
  data: {source: moons, rows: 20, scale: angle}
  model: {kind: circuit, qubits: 2, layers: 1, observable: {ZZ: 2.0}}
  loss: mse
  gradient: {engine: adjoint}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  batch: {size: 4}
  steps: 1
"""


@pytest.mark.usefixtures("complete", "client")
def test_what_a_sweep_may_not_mean_is_said_before_it_is_submitted(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(BOUND)
    said = asked("submit", tmp_path / "b.yaml", *AT, "--out", "s3://bucket/x")
    assert "the observable's E can reach from -2 to 2" in said.stderr


# --- packages


HERE = {"orchestrator": "2", "ray": "2.60.0", "numpy": "2.0", "numba": "0.68", "qiskit-aer": "0.18"}


def test_packages_that_a_cluster_lacks_or_has_in_another_version_are_told_apart() -> None:
    there = {"orchestrator": "2", "ray": "2.60.0", "numpy": "1.0", "qiskit-aer-gpu": "0.18"}
    assert compare(HERE, there) == PackageDifferences(("numba",), {"numpy": ("1.0", "2.0")})
    assert compare(HERE, {**HERE, "orchestrator": "1"}).missing == ("orchestrator 2 (it has 1)",)
    without_aer = {name: version for name, version in HERE.items() if name != "qiskit-aer"}
    assert compare(HERE, without_aer).missing == ("qiskit-aer",)


@pytest.mark.parametrize(
    ("ray", "message"),
    [
        ({}, "the cluster's `python` lacks Ray, so Ray runs in another one"),
        ({"ray": "2.51.1"}, "the cluster runs Ray 2.51.1; this package needs 2.52 or newer"),
        ({"ray": "1.99.0"}, "the cluster runs Ray 1.99.0"),
    ],
)
def test_cluster_whose_ray_is_of_no_use_is_refused(ray: dict[str, str], message: str) -> None:
    without: dict[str, Any] = {name: version for name, version in HERE.items() if name != "ray"}
    with pytest.raises(FleetError, match=message):
        compare(HERE, {**without, **ray})


def test_python_that_says_nothing_is_told_with_what_it_says_instead() -> None:
    silent: Any = SimpleNamespace(url=URL, ask=lambda *_: "bash: python: command not found\n")
    with pytest.raises(FleetError, match="cannot run `python`: bash: python: command not found; start Ray"):
        packages.probe_cluster(silent)
