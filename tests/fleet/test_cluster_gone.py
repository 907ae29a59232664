"""Control service or raylet killed during a sweep: the driver reports it; the same command goes on."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import heads
import pytest
from paths import ROOT
from waiting import WITHIN_S, end, processes_of, until

import orchestrator
from orchestrator.errors import ClusterLost
from orchestrator.fleet import presence
from orchestrator.fleet.inline import InlineFleet
from orchestrator.fleet.presence import Presence
from orchestrator.runs.digest import digest

SWEEP = """\
name: long
base:
  data: {source: parity, bits: 4, scale: none}
  model: {kind: mlp, hidden: [3]}
  loss: binary-cross-entropy
  gradient: {engine: backprop}
  updates: [{optimizer: adam, learning_rate: 0.01}]
  batch: {size: 8, shards: 2}
  steps: STEPS
  record: {every: 100}
sweep: [seed: {range: 4}]
placement: {pack: 2, chunk_steps: 100, commit_seconds: 0.3}
"""
STEPS = 6_000
"""Far more steps than a driver completes after Ray has lost the processes that compute."""

INLINE = orchestrator.Where(inline=True)
LIMIT = "RAY_gcs_rpc_server_reconnect_timeout_s"
LIMIT_S = 17
"""Ray's limit here: a driver must notice the loss two seconds after a service has fallen silent."""


def written(folder: Path, steps: int) -> Path:
    """Writes the sweep with this number of steps."""
    (folder / "long.yaml").write_text(SWEEP.replace("STEPS", str(steps)))
    return folder / "long.yaml"


def digest_of(out: Path) -> str:
    return digest(orchestrator.open_run(out)).total


@contextmanager
def alone(words: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A Python process in a session of its own, ended together with its children."""
    with subprocess.Popen(
        [sys.executable, *words],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            end(process)


def process_named(name: str, folder: str) -> int:
    """The process of this name of the Ray whose files are in a folder."""
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (path / "cmdline").read_bytes().decode()
            if Path(words.split("\0")[0]).name == name and folder in words:
                return int(path.name)
    raise AssertionError(f"there is no {name}")


def check_gone(name: str, words: list[str], out: Path, environment: dict[str, str]) -> None:
    """Starts a sweep, kills a process of its Ray, and checks how it ends."""
    with alone(["-m", "orchestrator", *words], environment) as process:
        until(lambda: process.poll() is not None or list(out.glob("commits/*/complete.json")))
        os.kill(process_named(name, environment["RAY_TMPDIR"]), signal.SIGKILL)
        output, errors = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 3, output + errors
    reason, command = errors.splitlines()
    assert re.fullmatch(
        r"the Ray cluster is gone.*; "
        r"(all results received are committed|what was committed is kept)\. "
        r"To resume, once the cluster is back or on another cluster:",
        reason,
    )
    assert command == f"  orchestrator {' '.join(words)}"
    assert not re.search(r"\.(cc|h):\d+|state-dump|Traceback", output)
    assert not orchestrator.open_run(out).finished


def check_goes_on(words: list[str], sweep: Path, out: Path, environment: dict[str, str]) -> None:
    """The same command completes the run, with the bits of an undisturbed one."""
    with alone(["-m", "orchestrator", *words], environment) as process:
        text = "".join(process.communicate(timeout=WITHIN_S))
    assert process.returncode == 0, text
    orchestrator.run(sweep, out.with_name("undisturbed"), where=INLINE)
    assert digest_of(out) == digest_of(out.with_name("undisturbed"))


def local(sweep: Path, out: Path, *more: str) -> list[str]:
    """The command that runs a sweep on a Ray of its own."""
    return ["run", str(sweep), "--out", str(out), "--address", "local", "--workers", "2", *more]


@pytest.mark.long
@pytest.mark.usefixtures("own_ray")
def test_killed_raylet_is_reported_and_the_same_command_goes_on(tmp_path: Path) -> None:
    sweep, out = written(tmp_path, STEPS), tmp_path / "run"
    check_gone("raylet", local(sweep, out), out, {**os.environ, LIMIT: str(LIMIT_S)})
    check_goes_on(local(sweep, out), sweep, out, dict(os.environ))


@pytest.mark.usefixtures("own_ray")
def test_killed_control_service_is_reported_before_ray_ends_the_driver(tmp_path: Path) -> None:
    sweep, out = written(tmp_path, STEPS), tmp_path / "run"
    words = local(sweep, out, "--set", "base.steps=100000000")  # fewer would end without the service
    check_gone("gcs_server", words, out, {**os.environ, LIMIT: str(LIMIT_S)})


@pytest.mark.long
@pytest.mark.parametrize("name", ["gcs_server", "raylet"])
def test_driver_on_a_head_that_loses_a_process_reports_it_and_goes_on_elsewhere(
    name: str, tmp_path: Path
) -> None:
    """``ray start --block`` then ends the other processes: Ray ends the driver, or the driver notices."""
    sweep, out = written(tmp_path, STEPS), tmp_path / "run"
    with heads.started(RAY_AUTH_MODE="disabled") as head:
        until(head.answers)
        environment = heads.environment(head.folder, RAY_AUTH_MODE="disabled", **{LIMIT: str(LIMIT_S)})
        environment["PYTHONPATH"] = str(ROOT)
        words = ["run", str(sweep), "--out", str(out), "--address", head.address, "--workers", "2"]
        check_gone(name, words, out, environment)
    with heads.started(RAY_AUTH_MODE="disabled") as other:
        until(other.answers)
        words[words.index(head.address)] = other.address
        environment["RAY_TMPDIR"] = str(other.folder)
        check_goes_on(words, sweep, out, environment)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A socket instead of the raylet, polled at every check."""
    monkeypatch.setattr(presence, "_POLL_S", 0.0)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        monkeypatch.setattr(presence, "_raylet", lambda: f"127.0.0.1:{listener.getsockname()[1]}")
        yield listener


@pytest.mark.usefixtures("cluster")
def test_silent_service_is_reported_only_after_the_limit(service: socket.socket) -> None:
    probe = Presence()
    probe.check()  # no process accepts the connection, as on a busy machine
    service.close()
    probe.check()
    probe.check()
    probe._patience_s = 0.0
    with pytest.raises(ClusterLost, match=r"gone: its raylet at 127\.0\.0\.1:\d+ has not answered for 0 s"):
        probe.check()
    assert probe.lost


@pytest.mark.usefixtures("cluster")
def test_error_of_ray_is_that_of_a_lost_cluster_only_if_a_service_is_silent(service: socket.socket) -> None:
    probe = Presence()
    with pytest.raises(BrokenPipeError), probe.explained():
        raise BrokenPipeError
    service.close()
    with pytest.raises(ClusterLost, match=r"its raylet at .* does not answer"), probe.explained():
        raise BrokenPipeError


@pytest.mark.usefixtures("cluster")
def test_service_that_never_answered_is_not_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "_raylet", lambda: "127.0.0.1:9")
    assert list(Presence()._services) == ["control service"]


def test_chunks_from_before_the_loss_of_the_cluster_are_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait, calls = InlineFleet.wait, iter(range(3))

    def lose(fleet: InlineFleet, timeout_s: float) -> Any:
        if next(calls, None) is None:
            raise ClusterLost("the Ray cluster is gone")
        return wait(fleet, timeout_s)

    monkeypatch.setattr(InlineFleet, "wait", lose)
    with pytest.raises(ClusterLost):
        orchestrator.run(
            written(tmp_path, 1_000),
            tmp_path / "run",
            where=INLINE,
            overrides=["placement.commit_seconds=1e9"],
        )
    assert orchestrator.open_run(tmp_path / "run").steps.num_rows == 3 * 2  # chunks times trials of a pack


SUPERVISED = """
import os, signal, sys
import orchestrator.cli
from orchestrator.cli.supervised import console
def main():
    print(os.getpid(), flush=True)
    {does}
orchestrator.cli.main = main
sys.argv = ["orchestrator", "run", "a.yaml"]
console()
"""


def supervised(
    does: str, meanwhile: Callable[[subprocess.Popen[str]], None] = lambda _: None
) -> tuple[Any, str]:
    """Exit code and stderr of a console command whose driver executes ``does``."""
    with alone(["-c", SUPERVISED.format(does=does)], dict(os.environ)) as process:
        assert process.stdout
        assert process.stdout.readline()
        meanwhile(process)
        _, errors = process.communicate(timeout=WITHIN_S)
    return process.returncode, errors


def test_driver_ended_by_ray_is_distinguished_from_an_exit_with_the_same_code() -> None:
    code, errors = supervised("os._exit(1)")
    assert (code, errors.splitlines()) == (
        3,
        [
            "the Ray cluster is gone, and Ray has ended the driver; what was committed is kept. "
            "To resume, once the cluster is back or on another cluster:",
            "  orchestrator run a.yaml",
        ],
    )
    assert supervised("sys.exit(1)") == (1, "")
    assert supervised("sys.exit(0)") == (0, "")
    assert supervised("os._exit(143)") == (143, "")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_parent_of_a_killed_driver_names_the_signal_and_dies_of_it(number: signal.Signals) -> None:
    code, errors = supervised(f"os.kill(os.getpid(), {int(number)})")
    assert (code, errors.splitlines()) == (
        -number,
        [
            f"the driver was killed by signal {int(number)} ({number.name}); "
            "what was committed is kept. To resume:",
            "  orchestrator run a.yaml",
        ],
    )


def test_interrupted_driver_and_its_parent_die_of_the_same_signal() -> None:
    assert supervised("signal.pause()", subprocess.Popen.terminate) == (-signal.SIGTERM, "")
    assert supervised("signal.pause()", subprocess.Popen.kill) == (-signal.SIGKILL, "")


STOPPED = """
import sys
from orchestrator.cli.terminal import Terminal
terminal, stops = Terminal(), []
with terminal.running(lambda: stops.append(1)):
    print("ready", flush=True)
    for _ in sys.stdin:
        print(terminal.signal, len(stops), flush=True)
"""


def test_signal_from_its_sender_and_from_the_parent_counts_once() -> None:
    with alone(["-c", STOPPED], dict(os.environ)) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        for number in (signal.SIGTERM, signal.SIGUSR2):
            process.send_signal(number)
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "15 1\n"
        process.send_signal(signal.SIGUSR2)
        process.wait(WITHIN_S)
    assert process.returncode == 143


def test_killed_parent_ends_the_driver() -> None:
    with alone(["-c", SUPERVISED.format(does="signal.pause()")], dict(os.environ)) as process:
        assert process.stdout
        process.stdout.readline()
        process.kill()
        process.wait(WITHIN_S)
        until(lambda: not processes_of(process.pid))
