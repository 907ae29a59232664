"""The control service or a raylet killed under a driver: it says so, and the same command goes on."""

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
"""Far more than a driver gets done after Ray has lost the processes that compute."""

INLINE = orchestrator.Where(inline=True)
LIMIT = "RAY_gcs_rpc_server_reconnect_timeout_s"
LIMIT_S = 17
"""Ray's limit here: a driver is to notice two seconds after somebody has fallen silent."""


def written(folder: Path, steps: int) -> Path:
    """The sweep, with so many steps."""
    (folder / "long.yaml").write_text(SWEEP.replace("STEPS", str(steps)))
    return folder / "long.yaml"


def digest_of(out: Path) -> str:
    return digest(orchestrator.open_run(out)).total


@contextmanager
def alone(words: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A Python process in a session of its own, ended with all that it has started."""
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
    """The process of a Ray that lives in a folder."""
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (path / "cmdline").read_bytes().decode()
            if Path(words.split("\0")[0]).name == name and folder in words:
                return int(path.name)
    raise AssertionError(f"there is no {name}")


def check_gone(name: str, words: list[str], out: Path, environment: dict[str, str]) -> None:
    """Starts a sweep, kills a process of its Ray, and looks at how it ends."""
    with alone(["-m", "orchestrator", *words], environment) as process:
        until(lambda: process.poll() is not None or list(out.glob("commits/*/complete.json")))
        os.kill(process_named(name, environment["RAY_TMPDIR"]), signal.SIGKILL)
        said, told = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 3, said + told
    reason, command = told.splitlines()
    assert re.fullmatch(
        r"the Ray cluster is gone.*; "
        r"(everything that came back is committed|all that was committed is kept)\. "
        r"To go on, once the cluster is back or on another one:",
        reason,
    )
    assert command == f"  orchestrator {' '.join(words)}"
    assert not re.search(r"\.(cc|h):\d+|state-dump|Traceback", said)
    assert not orchestrator.open_run(out).finished


def check_goes_on(words: list[str], sweep: Path, out: Path, environment: dict[str, str]) -> None:
    """The same command completes the run, with the bits of an undisturbed one."""
    with alone(["-m", "orchestrator", *words], environment) as process:
        said = "".join(process.communicate(timeout=WITHIN_S))
    assert process.returncode == 0, said
    orchestrator.run(sweep, out.with_name("undisturbed"), where=INLINE)
    assert digest_of(out) == digest_of(out.with_name("undisturbed"))


def local(sweep: Path, out: Path, *more: str) -> list[str]:
    """The command that runs a sweep on a Ray of its own."""
    return ["run", str(sweep), "--out", str(out), "--address", "local", "--workers", "2", *more]


@pytest.mark.long
@pytest.mark.usefixtures("own_ray")
def test_raylet_killed_is_told_and_the_same_command_goes_on(tmp_path: Path) -> None:
    sweep, out = written(tmp_path, STEPS), tmp_path / "run"
    check_gone("raylet", local(sweep, out), out, {**os.environ, LIMIT: str(LIMIT_S)})
    check_goes_on(local(sweep, out), sweep, out, dict(os.environ))


@pytest.mark.usefixtures("own_ray")
def test_control_service_killed_alone_is_told_before_ray_ends_the_driver(tmp_path: Path) -> None:
    sweep, out = written(tmp_path, STEPS), tmp_path / "run"
    words = local(sweep, out, "--set", "base.steps=100000000")  # its workers would come to the end without it
    check_gone("gcs_server", words, out, {**os.environ, LIMIT: str(LIMIT_S)})


@pytest.mark.long
@pytest.mark.parametrize("name", ["gcs_server", "raylet"])
def test_driver_on_a_head_that_loses_a_process_tells_it_and_goes_on_elsewhere(
    name: str, tmp_path: Path
) -> None:
    """``ray start --block`` ends the rest of the head then: Ray ends the driver, or the driver notices."""
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
    """A socket in the place of the raylet; asked whenever there is a chance to."""
    monkeypatch.setattr(presence, "_ASK_S", 0.0)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        monkeypatch.setattr(presence, "_raylet", lambda: f"127.0.0.1:{listener.getsockname()[1]}")
        yield listener


@pytest.mark.usefixtures("cluster")
def test_silent_service_is_told_only_after_the_limit(service: socket.socket) -> None:
    there = Presence()
    there.check()  # nobody accepts the connection, as on a busy machine
    service.close()
    there.check()
    there.check()
    there._patience_s = 0.0
    with pytest.raises(ClusterLost, match=r"gone: its raylet at 127\.0\.0\.1:\d+ has not answered for 0 s"):
        there.check()
    assert there.lost


@pytest.mark.usefixtures("cluster")
def test_error_of_ray_is_that_of_a_lost_cluster_only_if_nobody_answers(service: socket.socket) -> None:
    there = Presence()
    with pytest.raises(BrokenPipeError), there.explained():
        raise BrokenPipeError
    service.close()
    with pytest.raises(ClusterLost, match=r"its raylet at .* does not answer"), there.explained():
        raise BrokenPipeError


@pytest.mark.usefixtures("cluster")
def test_place_that_never_answered_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "_raylet", lambda: "127.0.0.1:9")
    assert list(Presence()._places) == ["control service"]


def test_what_came_back_before_the_cluster_was_lost_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait, left = InlineFleet.wait, iter(range(3))

    def lose(fleet: InlineFleet, timeout_s: float) -> Any:
        if next(left, None) is None:
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
    assert orchestrator.open_run(tmp_path / "run").steps.num_rows == 3 * 2  # chunks, trials of a pack


ATTENDED = """
import os, signal, sys
import orchestrator.cli
from orchestrator.cli.attended import console
def main():
    print(os.getpid(), flush=True)
    {does}
orchestrator.cli.main = main
sys.argv = ["orchestrator", "run", "a.yaml"]
console()
"""


def attended(
    does: str, meanwhile: Callable[[subprocess.Popen[str]], None] = lambda _: None
) -> tuple[Any, str]:
    """Exit code and complaints of a console command whose sweep does something."""
    with alone(["-c", ATTENDED.format(does=does)], dict(os.environ)) as process:
        assert process.stdout
        assert process.stdout.readline()
        meanwhile(process)
        _, told = process.communicate(timeout=WITHIN_S)
    return process.returncode, told


def test_driver_that_ray_has_ended_is_told_from_one_that_ends_with_the_same_code() -> None:
    code, told = attended("os._exit(1)")
    assert (code, told.splitlines()) == (
        3,
        [
            "the Ray cluster is gone, and Ray has ended the driver; all that was committed is kept. "
            "To go on, once the cluster is back or on another one:",
            "  orchestrator run a.yaml",
        ],
    )
    assert attended("sys.exit(1)") == (1, "")
    assert attended("sys.exit(0)") == (0, "")
    assert attended("os._exit(143)") == (143, "")


def test_driver_and_its_parent_die_of_the_same_signal() -> None:
    assert attended("os.kill(os.getpid(), signal.SIGKILL)") == (-signal.SIGKILL, "")
    assert attended("signal.pause()", subprocess.Popen.terminate) == (-signal.SIGTERM, "")
    assert attended("signal.pause()", subprocess.Popen.kill) == (-signal.SIGKILL, "")


STOPPED = """
import sys
from orchestrator.cli.terminal import Terminal
terminal, stops = Terminal(), []
with terminal.running(lambda: stops.append(1)):
    print("ready", flush=True)
    for _ in sys.stdin:
        print(terminal.signal, len(stops), flush=True)
"""


def test_signal_that_comes_from_its_sender_and_from_the_parent_counts_once() -> None:
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


def test_parent_killed_takes_the_driver_along() -> None:
    with alone(["-c", ATTENDED.format(does="signal.pause()")], dict(os.environ)) as process:
        assert process.stdout
        process.stdout.readline()
        process.kill()
        process.wait(WITHIN_S)
        until(lambda: not processes_of(process.pid))
