"""Sweeps as jobs of a real cluster: submitted, followed, cancelled, resumed; and what goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from heads import Head, environment
from waiting import WITHIN_S, processes_of, until

import orchestrator
from orchestrator.cli import orchestrator as command_line
from orchestrator.errors import FleetError, InputError
from orchestrator.fleet.jobs import Jobs
from orchestrator.reports.status import status
from orchestrator.runs.digest import digest

SWEEP = """\
name: job
base:
  data: {source: file, path: ../rows.csv, target: label}
  model: {kind: mlp, hidden: [2]}
  loss: binary-cross-entropy
  gradient: {engine: backprop}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  batch: {size: 4, shards: 2}
  steps: 4
  record: {every: 1000}
sweep: [seed: {range: 4}]
placement: {pack: 2, chunk_seconds: 0.2, commit_seconds: 0.2}
"""
ENDLESS = "base.steps=10000000"
SECRET = os.environ["RAY_AUTH_TOKEN"]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("job")
    (top / "rows.csv").write_text("a,b,label\n" + "".join(f"{i},{i * i % 7},{i % 2}\n" for i in range(40)))
    (top / "sweeps").mkdir()
    (top / "sweeps" / "job.yaml").write_text(SWEEP)
    return top / "sweeps" / "job.yaml"


def invoke(*words: object) -> Result:
    return CliRunner().invoke(command_line, [str(word) for word in words])


def output(*words: object) -> str:
    """Standard output of a verb that succeeds."""
    result = invoke(*words)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def test_sweep_is_submitted_once_cancelled_and_resumed(
    heads: dict[str, Head], sweep: Path, tmp_path: Path
) -> None:
    at, out = ("--address", heads["closed"].dashboard), tmp_path / "run"
    together = "placement.pack=4"  # so that all trials begin
    submit = ("submit", sweep, *at, "--out", out, "--leave-on-head", "--workers", 1, "--set", together)
    first = output(*submit, "--set", ENDLESS)
    assert first.startswith("submitted job-")
    assert f"the run is kept in {out} on this machine\n" in first
    assert output(*submit, "--set", ENDLESS).startswith("already submitted: job-")
    until(lambda: (out / "progress.json").exists() and status(out).rate)
    name = first.split()[1]
    assert output("status", "job", *at).splitlines()[2].split()[:2] == [name, "running"]
    assert "job: 4 trials (0 kept, 0 begun, 4 new)" in output("logs", "job", *at)
    assert output("cancel", "job", *at) == (
        f"asked {name} to commit and stop …\n{name}: stopped; to resume, submit the sweep again\n"
    )
    assert "To resume:\n  the same `orchestrator submit` command\n" in output("logs", name, *at)
    stopped = status(out)
    assert (stopped.left, stopped.driver, stopped.finished) == (4, None, False)
    assert output("cancel", "job", *at) == f"{name} has already ended: stopped\n"
    successor = output(*submit, "--set", ENDLESS)
    assert successor.split()[1] == f"{name}-2"
    until(lambda: "4 begun" in output("logs", "job", *at))
    output("cancel", "job", *at)


def test_followed_job_exits_with_the_sweeps_code_and_writes_the_same_bits(
    heads: dict[str, Head], sweep: Path, tmp_path: Path
) -> None:
    at, out = ("--address", f"127.0.0.1:{heads['open'].port}"), tmp_path / "run"
    followed = output("submit", sweep, *at, "--out", out, "--leave-on-head", "--workers", 1, "--follow")
    assert "finishing the tables" in followed
    assert followed.endswith(": succeeded\n")
    orchestrator.run(sweep, tmp_path / "here", where=orchestrator.Where(inline=True))
    by_job, inline = (digest(orchestrator.open_run(run)).tables for run in (out, tmp_path / "here"))
    assert {**by_job, "trials": ""} == {**inline, "trials": ""}  # the configuration has the path of the data
    other = invoke("submit", sweep, *at, "--out", out, "--leave-on-head", "--follow", "--set", "name=other")
    assert other.exit_code == 2
    assert f"{out} holds the sweep 'job', not 'other'; name another directory" in other.output
    assert "failed (exit code 2)" in output("status", "other", *at)
    jobs = Jobs(heads["open"].dashboard)
    assert [job.run for job in jobs.jobs()] == ["job", "other"]
    with pytest.raises(
        FleetError, match=r"no job of a run 'none' on the cluster at .* \(runs with jobs: job, other\)"
    ):
        jobs.newest("none")


def test_interrupt_ends_the_command_and_not_the_job(
    heads: dict[str, Head], sweep: Path, tmp_path: Path
) -> None:
    at = ("--address", heads["open"].dashboard)
    words = ("submit", sweep, *at, "--out", tmp_path / "run", "--leave-on-head", "--workers", "1", "--follow")
    for verb in (words, ("logs", "followed", "--follow", *at)):
        command = [sys.executable, "-m", "orchestrator", *map(str, verb)]
        change = ["--set", ENDLESS, "--set", "name=followed"] if verb == words else []
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen([*command, *change], **pipes) as process:  # type: ignore[call-overload]
            until(lambda: "followed: 4 trials" in process.stdout.readline())
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=WITHIN_S)
        assert process.returncode == 130
        where = f"--address {heads['open'].dashboard}"
        assert " keeps running; only its output has stopped here. To follow it:\n" in errors
        assert f"  orchestrator logs followed --follow {where}\n" in errors
        assert errors.endswith(f"To cancel it:\n  orchestrator cancel followed {where}\n")
        assert "Traceback" not in errors
    assert Jobs(heads["open"].dashboard).newest("followed").alive
    output("cancel", "followed", *at)


def test_token_is_in_no_log_and_in_no_job(heads: dict[str, Head]) -> None:
    jobs = Jobs(heads["closed"].dashboard)
    for job in jobs.jobs():
        assert SECRET not in jobs.logs(job)
        assert SECRET not in str(jobs._client.get_job_info(job.id))


CANARY = "ThatIsNobodysBusiness"


def test_no_secret_of_an_address_reaches_ray(heads: dict[str, Head], sweep: Path, tmp_path: Path) -> None:
    head, address = heads["open"], f"s3://bucket/x.csv?secret_key={CANARY}"
    by_job = ("submit", sweep, "--address", head.dashboard, "--leave-on-head")
    by_driver = ("run", sweep, "--address", head.address)
    for verb in (by_job, by_driver):
        for words in (("--out", address), ("--out", tmp_path / "run", "--set", f"base.data.path={address}")):
            done = subprocess.run(
                [sys.executable, "-m", "orchestrator", *map(str, (*verb, *words))],
                capture_output=True,
                text=True,
                timeout=WITHIN_S,
                check=False,
            )
            assert done.returncode == 2
            assert "must not hold a secret (secret_key)" in done.stderr
            assert CANARY not in done.stdout + done.stderr
    assert not (tmp_path / "run").exists()
    assert CANARY not in str(Jobs(head.dashboard)._client.list_jobs())
    for path in head.folder.rglob("*"):
        assert not (path.is_file() and CANARY.encode() in path.read_bytes()), path
    for number in processes_of(head.process.pid):
        assert CANARY.encode() not in Path(f"/proc/{number}/cmdline").read_bytes()


JOBS = """
import sys
from orchestrator.errors import FleetError
from orchestrator.fleet.jobs import Jobs
for address in sys.argv[1:]:
    try:
        Jobs(address)
    except FleetError as error:
        print(error)
"""


@pytest.mark.parametrize("token", [{}, {"RAY_AUTH_TOKEN": "wrong"}], ids=["missing", "wrong"])
def test_missing_or_wrong_token_is_reported_in_one_line(
    heads: dict[str, Head], tmp_path: Path, token: dict[str, str]
) -> None:
    head = heads["closed"]
    done = subprocess.run(
        [sys.executable, "-c", JOBS, head.dashboard, head.address],
        env=environment(tmp_path, **token),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=True,
    )
    assert done.stdout.splitlines() == [
        f"the Ray cluster at {address} refuses us: it requires a token, which is missing or wrong here; set "
        "RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to the file that holds it, and RAY_AUTH_MODE=token"
        for address in (head.dashboard, head.address)
    ]


def test_explicit_address_overrides_the_environment(
    heads: dict[str, Head], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")
    assert Jobs(heads["open"].dashboard).url == heads["open"].dashboard
    with pytest.raises(FleetError, match=r"no Ray cluster at http://127\.0\.0\.1:9: Connection refused"):
        Jobs(None)


def test_cluster_without_a_dashboard_is_reported(cluster: str) -> None:
    with pytest.raises(FleetError, match="has no dashboard, and so no Jobs API; start it without"):
        Jobs(cluster)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:9", "no Ray cluster at 127.0.0.1:9: Connection refused; correct --address"),
        ("http://127.0.0.1:9", "no Ray cluster at http://127.0.0.1:9: Connection refused; correct --address"),
        ("banana", "no Ray cluster at banana: "),
        ("ray://127.0.0.1:10001", "ray://127.0.0.1:10001 is no dashboard address, such as"),
    ],
)
def test_address_without_a_cluster_is_reported_in_one_line(address: str, message: str) -> None:
    with pytest.raises(FleetError) as raised:
        Jobs(address)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--out", "runs/x"), "would be lost with the cluster"),
        (("--out", "runs/x", "--leave-on-head"), "must be an absolute path on the head node"),
        (("--out", "s3://key:mine@bucket/x"), "must not hold a secret"),
    ],
)
def test_out_that_would_be_lost_or_holds_a_secret_is_refused(
    sweep: Path, words: tuple[str, ...], message: str
) -> None:
    error = invoke("submit", sweep, *words).exception
    assert isinstance(error, InputError)
    assert message in str(error)
    assert "mine" not in str(error)
