"""Killed anywhere: the same command completes the run, with the bits of an undisturbed one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from paths import SUPPORT
from waiting import WITHIN_S, end, until

import orchestrator
from orchestrator.api.running import Counts, Watcher
from orchestrator.cli import orchestrator as command_line
from orchestrator.driver.driver import Progress
from orchestrator.runs.digest import digest
from orchestrator.sweep.file import Sweep

LONG = """\
name: long
base:
  data: {source: moons, rows: 60}
  model: {kind: mlp, hidden: [2]}
  loss: binary-cross-entropy
  gradient: {engine: backprop}
  updates: [{clip: norm, limit: 0.5}, {optimizer: adam, learning_rate: 0.01}]
  batch: {size: 8, shards: 2}
  steps: 1200
  record: {every: 4}
sweep:
  - updates.1.learning_rate: [0.01, 0.02]
  - seed: {range: 4}
placement: {pack: 2, chunk_steps: 20, commit_seconds: 0}
"""
"""Four packs of sixty chunks each, and a commit for every one or two chunks. No circuits: each process of
these tests would load Qiskit and Aer."""

INLINE = orchestrator.Where(inline=True)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "long.yaml"
    path.write_text(LONG)
    return path


@pytest.fixture(scope="module")
def expected(sweep: Path) -> str:
    """The digest of the undisturbed run."""
    out = sweep.parent / "undisturbed"
    orchestrator.run(sweep, out, where=INLINE, overrides=["placement={}"])
    return digest_of(out)


def digest_of(out: Path) -> str:
    return digest(orchestrator.open_run(out)).total


@contextmanager
def alone(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A command in a session of its own, as from a terminal; ended together with its children."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    with process:
        try:
            yield process
        finally:
            end(process)


def started(sweep: Path, out: Path, *options: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """Starts ``orchestrator run``."""
    return alone(sys.executable, "-m", "orchestrator", "run", str(sweep), "--out", str(out), *options)


def output_of(process: subprocess.Popen[str]) -> str:
    """All output of a process until its end."""
    return process.communicate(timeout=WITHIN_S)[0]


def wait_for_commit(process: subprocess.Popen[str], out: Path, number: int) -> None:
    """Waits until a commit of at least this number is complete."""

    def complete() -> bool:
        assert process.poll() is None, output_of(process)
        return any(int(path.parent.name) >= number for path in out.glob("commits/*/complete.json"))

    until(complete)


def test_driver_killed_again_and_again_leaves_the_same_bits(
    sweep: Path, expected: str, cluster: str, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    for commit, where in ((1, ("--address", cluster, "--workers", "2")), (15, ("--inline",))):
        with started(sweep, out, *where) as process:
            wait_for_commit(process, out, commit)
            process.kill()
    with started(sweep, out, "--inline") as process:
        text = output_of(process)
    assert process.returncode == 0, text
    kept, begun, new = map(int, re.findall(r"(\d) (?:kept|begun|new)", text))
    assert kept + begun + new == 8
    assert kept + begun > 0
    assert digest_of(out) == expected


def test_interrupt_on_ray_commits_and_says_how_to_go_on(sweep: Path, expected: str, tmp_path: Path) -> None:
    """The terminal sends Ctrl-C to all processes of the group, Ray's as well."""
    out = tmp_path / "run"
    with started(sweep, out, "--address", "local", "--workers", "2") as process:
        wait_for_commit(process, out, 2)
        os.killpg(process.pid, signal.SIGINT)
        text = output_of(process)
    assert process.returncode == 130
    lines = [line for line in text.splitlines() if " of 8 trials, " not in line]  # without progress
    assert lines[1:] == [
        "on a local Ray with 2 CPUs, 2 workers",
        "",
        "finishing and committing running work (again: exit at once)",
        "stopped; all results received are committed. To resume:",
        f"  orchestrator run {sweep} --out {out} --address local --workers 2",
        "The tables are in folders once the run has finished. To read it already now:",
        f"  orchestrator analyse {out}",
    ]
    assert not (out / "steps").exists()
    assert CliRunner().invoke(command_line, ["analyse", str(out)]).exit_code == 0
    assert not orchestrator.open_run(out).finished
    assert orchestrator.run(sweep, out, where=INLINE, overrides=["placement={}"]).finished
    assert digest_of(out) == expected


def test_second_signal_leaves_at_once(sweep: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    changes = (
        "base.steps=100000000",
        "base.record={every: 100000000}",
    )  # else rows fill a chunk at last
    changes += "placement.chunk_steps=null", "placement.chunk_seconds=1e9"
    endless = [word for change in changes for word in ("--set", change)]
    with started(sweep, out, "--inline", *endless) as process:
        until(lambda: signal_caught(process, signal.SIGTERM))
        idle = cpu_seconds(process)
        until(lambda: cpu_seconds(process) > idle + 1.0)  # before the first pack starts, one signal is enough
        process.terminate()
        assert process.stdout
        until(lambda: "finishing and committing" in process.stdout.readline())
        process.terminate()
        output_of(process)
    assert process.returncode == 143


def signal_caught(process: subprocess.Popen[str], number: signal.Signals) -> bool:
    """Whether the process has a handler for a signal."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    """CPU time of a process so far, in seconds."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


class Killer(Watcher):
    """Kills a worker in the middle of the sweep."""

    killed = False

    def advanced(self, progress: Progress) -> None:
        if progress.commits > 2 and not self.killed:
            os.kill(self.workers()[0], signal.SIGKILL)
            self.killed = True

    @staticmethod
    def workers() -> list[int]:
        """The processes of Ray's actors."""
        from ray._private.state import actors

        return [actor["Pid"] for actor in actors().values() if actor["State"] == "ALIVE"]


def test_worker_killed_leaves_the_same_bits(sweep: Path, expected: str, cluster: str, tmp_path: Path) -> None:
    where, killer = orchestrator.Where(address=cluster, workers=2), Killer()
    assert orchestrator.run(sweep, tmp_path, where=where, watcher=killer).exit_code == 0
    assert killer.killed
    assert digest_of(tmp_path) == expected
    assert pd.read_parquet(tmp_path / "trials").attempts.max() == 2


@pytest.mark.long
@pytest.mark.usefixtures("own_ray")
def test_node_killed_leaves_the_same_bits(sweep: Path, expected: str, tmp_path: Path) -> None:
    script = SUPPORT / "losing_a_node.py"
    with alone(sys.executable, str(script), str(sweep), str(tmp_path / "run")) as process:
        text = output_of(process)
    assert text.splitlines()[-1] == f"{expected} 2"


class CountsWatcher(Watcher):
    """Remembers how many trials were kept, begun, new and abandoned."""

    def opened(self, sweep: Sweep, out: Path, counts: Counts) -> None:  # noqa: ARG002
        self.counts = (counts.kept, counts.begun, counts.new, counts.abandoned)


def test_grown_sweep_runs_only_what_is_new(sweep: Path, expected: str, tmp_path: Path) -> None:
    watcher = CountsWatcher()
    fewer = ["sweep.1.seed={range: 3}", "placement={}"]
    orchestrator.run(sweep, tmp_path, where=INLINE, overrides=fewer, watcher=watcher)
    assert watcher.counts == (0, 0, 6, 0)
    before = pd.read_parquet(tmp_path / "trials").set_index("trial").started_at
    orchestrator.run(sweep, tmp_path, where=INLINE, overrides=["placement={}"], watcher=watcher)
    assert watcher.counts == (6, 0, 2, 0)
    after = pd.read_parquet(tmp_path / "trials").set_index("trial").started_at
    assert after[before.index].tolist() == before.tolist()
    assert digest_of(tmp_path) == expected


def test_finished_run_is_kept_as_it_is(sweep: Path, tmp_path: Path) -> None:
    watcher = CountsWatcher()
    orchestrator.run(sweep, tmp_path, where=INLINE, overrides=["base.steps=2"], watcher=watcher)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    orchestrator.run(sweep, tmp_path, where=INLINE, overrides=["base.steps=2"], watcher=watcher)
    assert watcher.counts == (8, 0, 0, 0)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == files


def test_shrunk_sweep_keeps_what_it_no_longer_names(sweep: Path, tmp_path: Path) -> None:
    watcher = CountsWatcher()
    for seeds, counts in (("4", (0, 0, 8, 0)), ("1", (2, 0, 0, 6))):
        overrides = ["base.steps=2", f"sweep.1.seed={{range: {seeds}}}"]
        orchestrator.run(sweep, tmp_path, where=INLINE, overrides=overrides, watcher=watcher)
        assert watcher.counts == counts
    assert len(pd.read_parquet(tmp_path / "trials")) == 8
