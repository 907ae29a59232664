"""Every benchmark script runs to its end, in a size that takes seconds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT

from benchmarks import gradients, sweep, tune
from benchmarks.gradients import Column
from benchmarks.whole import SMALL
from benchmarks.work import Shape

SCRIPTS = {
    "gradients": ["--small"],
    "gpu": ["--small"],
    "scale": ["2:8", "4:40"],
    "sweep": ["--small", "memory"],
}


def printed(name: str) -> str:
    """Output of a benchmark that succeeds."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", *SCRIPTS[name]],
            cwd=ROOT,
            env={**os.environ, "RAY_TMPDIR": folder, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_benchmark_script_is_run_here() -> None:
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text()}
    assert scripts == SCRIPTS.keys()


def test_scheduler_is_measured_on_every_size() -> None:
    rows = printed("scale").splitlines()[-2:]
    assert [row.split(" | ")[:2] for row in rows] == [["| 2", "8"], ["| 4", "40"]]


@pytest.mark.long
def test_gpu_table_has_the_programs_that_need_no_gpu() -> None:
    lines = printed("gpu").splitlines()
    assert lines[-3].startswith("| qubits, batch | kernel, adjoint | Aer CPU, adjoint |")
    assert re.match(r"\| 2, 3 \| [\d.]+ \| [\d.]+ \|", lines[-1])


@pytest.mark.long
def test_gradients_are_measured_and_missing_peers_named() -> None:
    output = printed("gradients")
    assert re.search(r"^\| orchestrator \| [\d.]+ \|$", output, re.MULTILINE)
    assert re.search(r"^\| qulacs backprop \| ([\d.]+|– \(.+\)) \|$", output, re.MULTILINE)
    assert "A circuit never seen before (3, 8)" in output
    assert "Memory of a gradient (4, 8)" in output


@pytest.mark.long
def test_memory_of_sweeps_is_measured_in_processes_of_their_own() -> None:
    assert re.match(r"\| 20 \| [\d,]+ \| [\d,]+ \| \d+ \| [\d.]+ \|$", printed("sweep").splitlines()[-1])


@pytest.fixture
def here(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - a Ray to run on
    """Runs measurements in this process and on its Ray instead of in processes of their own."""

    def call(function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    monkeypatch.setattr(sweep, "_alone", call)
    monkeypatch.setattr(sweep, "_connected", call)


@pytest.mark.long
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "overhead",
            r"\| orchestrator, median \| 10, 20 \| [\d.]+, [\d.]+ \| \S+ \|\n"
            r"\| Ray Tune \| 1, 2 \| 2.0, 4.0 \| 2e\+03 \|\n(?s:.*)"
            r"\| Ray Tune / orchestrator \| \| \| -?\d+ \|",
        ),
        ("busy", r"- Workers are busy [\d.]+% of the time.*"),
        ("shards", r"- The last 2 of 3 steps .* [\d.]+ times as fast.*\n- One small trial .* s on Ray.*"),
    ],
)
def test_sweeps_are_measured(name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "missing", str)
    monkeypatch.setattr(
        tune, "seconds", lambda trials, *_: 2.0 * trials
    )  # only the benchmarks' venv has Tune
    assert re.search(f"^{line}$", sweep.MEASUREMENTS[name](tmp_path, SMALL), re.MULTILINE)


def test_tune_is_left_out_where_it_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.tune", None)
    assert "ray.tune" in tune.missing()


def test_table_of_gradients_names_the_best_peer_or_none() -> None:
    alone = Column({gradients.OURS: 0.002}, left_out=dict.fromkeys(gradients.PEERS, "not there"))
    among = Column(
        {gradients.OURS: 0.002, "jax_by_hand": 0.5, "qulacs_backprop": 0.008}, left_out=alone.left_out
    )
    lines = gradients.table({Shape(2, 3): alone, Shape(3, 1): among}).splitlines()
    assert lines[2] == "| orchestrator | 2 | 2 |"
    assert "| jax by hand | – (not there) | 500 |" in lines
    assert lines[-1] == "| best peer / ours | – | **4.0** |"
