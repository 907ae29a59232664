"""Jobs on a cluster: what verbs print about them and pass to them, with Ray's client replaced."""

from __future__ import annotations

import importlib
import shlex
import threading
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
from orchestrator.process import listening

AT = ("--address", URL)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    """A cluster on which two runs have had jobs, one of them two."""
    cluster = far_cluster(monkeypatch)
    cluster.add(
        details("deep-1-2", "deep", "RUNNING", 4000.0),
        details("deep-1", "deep", "FAILED", 1000.0, ended_s=1090.0, code=3, message="head\nlost"),
        details("wide-1", "wide", "SUCCEEDED", 5000.0, ended_s=5300.0, code=0),
    )
    return cluster


def invoke(*words: object) -> Result:
    return CliRunner().invoke(command_line, [*map(str, words)])


# --- existing jobs


def test_status_lists_the_jobs_of_a_run_and_the_last_progress_of_the_newest(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.printed["deep-1-2"] = "1 of 9 trials, 5 steps/s\n2 of 9 trials, 7 steps/s\nfinishing the tables\n"
    module = importlib.import_module("orchestrator.cli.status")  # in its package, that name is a command
    clock = SimpleNamespace(time=lambda: 4060.0, strftime=time.strftime, localtime=time.localtime)
    monkeypatch.setattr(module, "time", clock)
    lines = [line.split() for line in invoke("status", "deep", *AT).output.splitlines()]
    rows = [line for line in lines if line and line[0].startswith(("deep", "wide"))]
    assert [row[0] for row in rows] == ["deep-1", "deep-1-2"]
    assert rows[0][1:5] == ["failed", "(exit", "code", "3)"]
    assert rows[0][-4:] == ["about", "90", "s", "s3://bucket/deep"]
    assert rows[1][1] == "running"
    assert rows[1][2].startswith("1970-01-0")
    assert rows[1][-4:] == ["about", "60", "s", "s3://bucket/deep"]
    assert lines[-1] == ["2", "of", "9", "trials,", "7", "steps/s"]


def test_status_of_a_job_without_output_is_what_ray_reports(client: Client) -> None:
    assert invoke("status", "deep-1", *AT).output.endswith("\nhead lost\n")
    assert invoke("status", "wide", *AT).output.endswith("\nno progress reported yet\n")
    assert client.stopped == []


def test_cancel_stops_the_newest_job_unless_it_has_ended(client: Client) -> None:
    assert invoke("cancel", "wide", *AT).output == "wide-1 has already ended: succeeded\n"
    assert client.stopped == []
    assert invoke("cancel", "deep", *AT).output.endswith(
        "deep-1-2: stopped; to resume, submit the sweep again\n"
    )
    assert client.stopped == ["deep-1-2"]


def test_logs_are_those_of_the_newest_job(client: Client) -> None:
    client.printed |= {"deep-1": "old\n", "deep-1-2": "new\n"}
    assert invoke("logs", "deep", *AT).output == "new\n"


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        ("SUCCEEDED", 0, 0),
        ("FAILED", 3, 3),
        ("FAILED", None, 1),
        ("FAILED", 0, 1),
        ("STOPPED", None, 143),
        ("STOPPED", 0, 143),
    ],
)
def test_following_a_job_exits_with_its_code(
    status: str, code: int | None, exit_code: int, client: Client
) -> None:
    client.add(details("one", "one", status, 1.0, ended_s=2.0, code=code))
    client.printed["one"] = "working\n"
    followed = invoke("logs", "one", "--follow", *AT)
    assert (followed.exit_code, followed.output) == (exit_code, f"working\none: {status.lower()}\n")


def test_run_on_a_cluster_may_have_the_name_of_a_local_folder(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wide").mkdir()
    client.printed["wide-1"] = "9 of 9 trials, 7 steps/s\n"
    assert invoke("status", "wide", *AT).output.endswith("\n9 of 9 trials, 7 steps/s\n")


def test_jobs_are_identified_by_their_full_names_and_those_of_others_ignored(client: Client) -> None:
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


# --- submitting


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
    """The command of the only job that was started."""
    (started,) = client.started
    return shlex.split(started["entrypoint"])


@pytest.mark.usefixtures("complete")
def test_options_reach_the_job(client: Client, sweep: Path) -> None:
    more = ("--workers", 3, "--mixed-versions", "--trust", "json", "--set", "base.steps=5")
    result = invoke("submit", sweep, *AT, "--out", "s3://bucket/x", *more)
    assert result.exit_code == 0, result.output
    words = command(client)
    assert words[:5] == ["exec", "python", "-m", "orchestrator", "run"]
    assert words[-5:] == ["--out", "s3://bucket/x", "--workers=3", "--mixed-versions", "--trust=json"]
    assert client.started[0]["metadata"] == {
        "orchestrator_run": "small",
        "orchestrator_out": "s3://bucket/x",
    }
    assert "the cluster has numpy 1.0 (here 2.0); --pip installs" in result.stderr
    assert client.started[0]["runtime_env"]["env_vars"] == {
        "RAY_JOB_STOP_WAIT_TIME_S": "600",  # else Ray kills it before it has committed
        "ORCHESTRATOR_AGAIN": "the same `orchestrator submit` command",
    }


@pytest.mark.usefixtures("complete", "client")
def test_submit_prints_how_to_copy_a_run_from_the_head_node(sweep: Path) -> None:
    output = invoke("submit", sweep, *AT, "--out", "/data/x", "--leave-on-head").output
    kept = "the run is kept on the head node only; before the cluster ends, copy it:\n"
    assert f"{kept}  scp -r far:/data/x .\n" in output


@pytest.mark.usefixtures("complete")
def test_another_address_or_another_sweep_is_another_job(client: Client, sweep: Path) -> None:
    for more in ((), (), ("--set", "base.steps=5")):
        assert invoke("submit", sweep, *AT, "--out", "s3://bucket/x", *more).exit_code == 0
    assert invoke("submit", sweep, *AT, "--out", "s3://bucket/y").exit_code == 0
    names = [started["submission_id"] for started in client.started]
    assert len(names) == len(set(names)) == 3  # the second call submits nothing


def test_cluster_that_lacks_packages_is_refused_without_pip(
    client: Client, sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "probe_cluster", lambda _: PackageDifferences(("numba", "click"), {}))
    ask = ("submit", sweep, *AT, "--out", "s3://bucket/x")
    error = invoke(*ask).exception
    assert isinstance(error, FleetError)
    assert str(error) == f"the cluster at {URL} lacks numba, click; install that there, or give --pip"
    assert client.started == []
    assert invoke(*ask, "--pip").exit_code == 0
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
def test_submit_prints_the_warnings_of_a_plan(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(BOUND)
    result = invoke("submit", tmp_path / "b.yaml", *AT, "--out", "s3://bucket/x")
    assert "the observable's E can reach from -2 to 2" in result.stderr


class Heard:
    """Listens to notices, and blocks a call until the notice about it has arrived."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()

    def __call__(self, line: str) -> None:
        with self._changed:
            self.lines.append(line)
            self._changed.notify_all()

    def until(self, start: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: any(line.startswith(start) for line in self.lines), 60)


@pytest.mark.usefixtures("complete")
def test_submit_reports_what_it_waits_for(
    client: Client, sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, submit_job = Heard(), client.submit_job

    def dashboard(*_: str) -> str:
        heard.until(f"waiting for the dashboard of the Ray cluster at {URL}: takes more than ")
        return URL

    def accept(**options: Any) -> None:
        heard.until(f"waiting for the Ray cluster at {URL} to accept the job: ")
        submit_job(**options)

    async def tail(identity: str) -> Any:
        heard.until(f"waiting for the first output of {identity}: ")
        client.add(details(identity, "small", "SUCCEEDED", 1.0, ended_s=2.0, code=0))
        yield "working\n"

    monkeypatch.setattr("orchestrator.process._NOTICE_AFTER_S", 0.0)
    monkeypatch.setattr("orchestrator.fleet.jobs.dashboard", dashboard)
    monkeypatch.setattr(client, "submit_job", accept)
    monkeypatch.setattr(client, "tail_job_logs", tail)
    with listening(heard):
        result = invoke("submit", sweep, *AT, "--out", "s3://bucket/x", "--follow")
    assert result.exit_code == 0, result.output
    assert "\nworking\n" in result.output


# --- packages


HERE = {"orchestrator": "2", "ray": "2.60.0", "numpy": "2.0", "numba": "0.68", "qiskit-aer": "0.18"}


def test_missing_packages_are_distinguished_from_other_versions() -> None:
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
def test_cluster_with_an_unsuitable_ray_is_refused(ray: dict[str, str], message: str) -> None:
    without: dict[str, Any] = {name: version for name, version in HERE.items() if name != "ray"}
    with pytest.raises(FleetError, match=message):
        compare(HERE, {**without, **ray})


def test_output_of_a_broken_python_is_in_the_message() -> None:
    silent: Any = SimpleNamespace(url=URL, ask=lambda *_: "bash: python: command not found\n")
    with pytest.raises(FleetError, match="cannot run `python`: bash: python: command not found; start Ray"):
        packages.probe_cluster(silent)
