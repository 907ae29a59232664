"""Killed anywhere: the same command completes the run, with the bits of an undisturbed one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import orchestrator
from orchestrator.traces.digest import digest

LONG = """\
name: long
base:
  data: {source: moons, rows: 60, scale: angle}
  model: {kind: circuit, qubits: 2, layers: 2}
  loss: mse
  gradient: {engine: adjoint}
  updates: [{clip: norm, limit: 0.5}, {optimizer: adam, learning_rate: 0.01}]
  batch: {size: 8, shards: 2}
  steps: 600
sweep:
  - updates.1.learning_rate: [0.01, 0.02]
  - seed: {range: 4}
placement: {pack: 2, chunk_steps: 20, commit_seconds: 0}
"""
PATIENCE_S = 90.0


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "long.yaml"
    path.write_text(LONG)
    return path


@pytest.fixture(scope="module")
def expected(sweep: Path) -> str:
    out = sweep.parent / "undisturbed"
    orchestrator.run(sweep, out, where=orchestrator.Where(inline=True))
    return digest(orchestrator.open_run(out)).total


def start(sweep: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    """The command line, in a process of its own."""
    command = [sys.executable, "-m", "orchestrator", "run", str(sweep), "--out", str(out), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(sweep: Path, out: Path, *options: str) -> str:
    """What the command line prints when it is run to the end."""
    process = start(sweep, out, *options)
    text, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, text
    return text


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Waits until something is so, but not for ever, nor for a process that has ended."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        os.sched_yield()


def commits(out: Path) -> int:
    return len([*out.glob("commits/*/complete.json")])


@pytest.mark.parametrize("after", [1, 5, 12])
def test_driver_killed_and_run_again_gives_the_same_bits(
    sweep: Path, expected: str, after: int, tmp_path: Path
) -> None:
    process = start(sweep, tmp_path / "run", "--inline")
    wait_for(lambda: commits(tmp_path / "run") >= after, process)
    process.kill()
    process.communicate()
    text = finish(sweep, tmp_path / "run", "--inline")
    assert "begun" in text
    assert digest(orchestrator.open_run(tmp_path / "run")).total == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_signal_commits_and_says_how_to_go_on(
    sweep: Path, expected: str, number: signal.Signals, tmp_path: Path
) -> None:
    process = start(sweep, tmp_path / "run", "--inline")
    wait_for(lambda: commits(tmp_path / "run") >= 2, process)
    process.send_signal(number)
    text, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + number
    assert f"orchestrator run {sweep} --out {tmp_path / 'run'} --inline" in text
    assert "Traceback" not in text
    finish(sweep, tmp_path / "run", "--inline")
    assert digest(orchestrator.open_run(tmp_path / "run")).total == expected


def test_worker_killed_leaves_the_same_bits(sweep: Path, expected: str, cluster: str, tmp_path: Path) -> None:
    process = start(sweep, tmp_path / "run", "--address", cluster, "--workers", "2")
    wait_for(lambda: commits(tmp_path / "run") >= 2 and busy_workers() != [], process)
    os.kill(busy_workers()[0], signal.SIGKILL)
    text, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, text
    assert digest(orchestrator.open_run(tmp_path / "run")).total == expected
    assert pd.read_parquet(tmp_path / "run" / "trials").attempts.max() > 1


def busy_workers() -> list[int]:
    """Processes of the actors that are at work: Ray names them after what they do."""
    names = {int(place.parent.name): place for place in Path("/proc").glob("[0-9]*/cmdline")}
    return [number for number, place in names.items() if read(place).startswith(b"ray::Worker.run")]


def read(place: Path) -> bytes:
    """The content of a file of /proc; nothing if its process is gone."""
    try:
        return place.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_grown_sweep_runs_only_what_is_new(sweep: Path, expected: str, tmp_path: Path) -> None:
    few = ("--inline", "--set", "sweep.1.seed={range: 3}")
    assert "(0 kept, 0 begun, 6 new)" in finish(sweep, tmp_path / "run", *few)
    before = pd.read_parquet(tmp_path / "run" / "trials").set_index("trial").started_at
    assert "(6 kept, 0 begun, 2 new)" in finish(sweep, tmp_path / "run", "--inline")
    after = pd.read_parquet(tmp_path / "run" / "trials").set_index("trial").started_at
    assert after[before.index.to_list()].to_list() == before.to_list()
    assert digest(orchestrator.open_run(tmp_path / "run")).total == expected
