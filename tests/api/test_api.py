"""Sweeps from Python: the result of ``run``, the calls of its watcher, and the tables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from diary import Diary

import orchestrator
from orchestrator.errors import FleetError, InputError
from orchestrator.runs.digest import digest

INLINE = orchestrator.Where(inline=True)


def digest_of(out: Path) -> str:
    return digest(orchestrator.open_run(out)).total


def test_run_writes_tables_to_its_folder(small_sweep: Path, tmp_path: Path) -> None:
    result = orchestrator.run(small_sweep, tmp_path / "out", where=INLINE)
    assert (result.out, result.finished, result.failed, result.exit_code) == (tmp_path / "out", True, 0, 0)
    run = orchestrator.open_run(tmp_path / "out")
    assert run.finished
    assert run.trials.num_rows == 10
    assert set(run.steps["trial"].to_pylist()) == set(run.trials["trial"].to_pylist())
    assert run.gradients.num_rows == 6 * run.steps.num_rows  # weight, bias and signal of two layers


def test_run_names_its_folder_after_the_sweep(small_sweep: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert orchestrator.run(small_sweep, where=INLINE).out == Path("runs/small")
    assert len(pd.read_parquet("runs/small/trials")) == 10


def test_watcher_is_called_in_order(small_sweep: Path, tmp_path: Path) -> None:
    diary = Diary()
    result = orchestrator.run(small_sweep, tmp_path / "out", where=INLINE, watcher=diary)
    assert list(diary.calls) == ["opened", "placed", "running", "advanced", "compacting"]
    assert diary.calls["opened"] == ("small", 0, 0, 10)
    assert diary.calls["placed"] == ("in this process", 1)
    assert diary.calls["advanced"] is result.progress


def test_progress_adds_up(small_sweep: Path, tmp_path: Path) -> None:
    progress = orchestrator.run(small_sweep, tmp_path, where=INLINE).progress
    trials = pd.read_parquet(tmp_path / "trials")
    assert (progress.trials, progress.kept, progress.ended, progress.failed) == (10, 0, 10, 0)
    assert progress.diverged == (trials.status == "diverged").sum() > 0
    assert progress.steps == trials.steps.sum() < 60


def test_packs_have_the_size_of_the_placement(small_sweep: Path, tmp_path: Path) -> None:
    orchestrator.run(small_sweep, tmp_path, where=INLINE)
    packs = pd.read_parquet(tmp_path / "trials").groupby("pack").trial.count()
    assert packs.tolist() == [4, 4, 2]


def test_stopped_run_is_committed_and_resumed(small_sweep: Path, tmp_path: Path) -> None:
    stopped = orchestrator.run(
        small_sweep,
        tmp_path,
        where=INLINE,
        overrides=["placement.commit_seconds=0"],
        watcher=Diary(stop_after=2),
    )
    assert not stopped.finished
    assert orchestrator.open_run(tmp_path).steps.num_rows > 0
    diary = Diary()
    assert orchestrator.run(small_sweep, tmp_path, where=INLINE, watcher=diary).finished
    assert diary.calls["opened"] == ("small", 0, 4, 6)


def test_faults_start_nothing_and_write_nothing(small_sweep: Path, tmp_path: Path) -> None:
    diary = Diary()
    with pytest.raises(InputError, match="steps: is 0, must be at least 1"):
        orchestrator.run(small_sweep, tmp_path / "out", overrides=["base.steps=0"], watcher=diary)
    assert diary.calls == {}
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("cluster")
def test_sweep_that_needs_a_larger_cluster_can_run_elsewhere(small_sweep: Path, tmp_path: Path) -> None:
    with pytest.raises(FleetError, match="9 workers with 1 CPU each do not fit: the cluster has 4 CPUs"):
        orchestrator.run(small_sweep, tmp_path / "out", where=orchestrator.Where(workers=9))
    assert orchestrator.run(small_sweep, tmp_path / "out", where=INLINE).finished


@pytest.mark.usefixtures("cluster")
def test_ray_writes_the_same_steps_as_inline(small_sweep: Path, tmp_path: Path) -> None:
    diary = Diary()
    result = orchestrator.run(
        small_sweep, tmp_path / "ray", where=orchestrator.Where(workers=2), watcher=diary
    )
    assert diary.calls["placed"] == ("on the Ray cluster that this process is connected to", 2)
    orchestrator.run(small_sweep, tmp_path / "inline", where=INLINE)
    ray, inline = (
        pd.read_parquet(tmp_path / run / "steps").drop(columns=["seconds_compute", "seconds_wait"])
        for run in ("ray", "inline")
    )
    pd.testing.assert_frame_equal(ray, inline, check_exact=True)
    assert result.exit_code == 0


def test_worker_has_no_more_threads_than_it_uses() -> None:
    code = (
        "from orchestrator.backends.batched.threads import use_threads_only; use_threads_only(1); "
        "import numba; print(numba.config.NUMBA_NUM_THREADS, numba.get_num_threads())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "1 1\n"
