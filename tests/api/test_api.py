"""Sweeps from Python: what ``run`` returns, tells its watcher, and leaves behind."""

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


def test_run_leaves_tables_where_it_was_told(small_sweep: Path, tmp_path: Path) -> None:
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


def test_watcher_is_told_in_order(small_sweep: Path, tmp_path: Path) -> None:
    diary = Diary()
    result = orchestrator.run(small_sweep, tmp_path / "out", where=INLINE, watcher=diary)
    assert list(diary.heard) == ["opened", "placed", "running", "advanced", "compacting"]
    assert diary.heard["opened"] == ("small", 0, 0, 10)
    assert diary.heard["placed"] == ("in this process", 1)
    assert diary.heard["advanced"] is result.progress


def test_progress_adds_up(small_sweep: Path, tmp_path: Path) -> None:
    progress = orchestrator.run(small_sweep, tmp_path, where=INLINE).progress
    trials = pd.read_parquet(tmp_path / "trials")
    assert (progress.trials, progress.kept, progress.ended, progress.failed) == (10, 0, 10, 0)
    assert progress.diverged == (trials.status == "diverged").sum() > 0
    assert progress.steps == trials.steps.sum() < 60


def test_packs_hold_as_many_trials_as_asked_for(small_sweep: Path, tmp_path: Path) -> None:
    orchestrator.run(small_sweep, tmp_path, where=INLINE)
    packs = pd.read_parquet(tmp_path / "trials").groupby("pack").trial.count()
    assert packs.tolist() == [4, 4, 2]


def test_stopped_run_is_committed_and_goes_on(small_sweep: Path, tmp_path: Path) -> None:
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
    assert diary.heard["opened"] == ("small", 0, 4, 6)


def test_faults_start_nothing_and_write_nothing(small_sweep: Path, tmp_path: Path) -> None:
    diary = Diary()
    with pytest.raises(InputError, match="steps: is 0, must be at least 1"):
        orchestrator.run(small_sweep, tmp_path / "out", overrides=["base.steps=0"], watcher=diary)
    assert diary.heard == {}
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("cluster")
def test_sweep_that_the_cluster_is_too_small_for_can_go_on_elsewhere(
    small_sweep: Path, tmp_path: Path
) -> None:
    with pytest.raises(FleetError, match="9 workers with 1 CPU each do not fit: the cluster has 4 CPUs"):
        orchestrator.run(small_sweep, tmp_path / "out", where=orchestrator.Where(workers=9))
    assert orchestrator.run(small_sweep, tmp_path / "out", where=INLINE).finished


@pytest.mark.usefixtures("cluster")
def test_ray_leaves_what_inline_leaves(small_sweep: Path, tmp_path: Path) -> None:
    diary = Diary()
    result = orchestrator.run(
        small_sweep, tmp_path / "ray", where=orchestrator.Where(workers=2), watcher=diary
    )
    assert diary.heard["placed"] == ("on the Ray cluster that this process is connected to", 2)
    orchestrator.run(small_sweep, tmp_path / "inline", where=INLINE)
    ray, inline = (
        pd.read_parquet(tmp_path / place / "steps").drop(columns=["seconds_compute", "seconds_wait"])
        for place in ("ray", "inline")
    )
    pd.testing.assert_frame_equal(ray, inline, check_exact=True)
    assert result.exit_code == 0


def test_worker_keeps_no_more_threads_than_it_uses() -> None:
    code = (
        "from orchestrator.backends.batched.threads import use_threads_only; use_threads_only(1); "
        "import numba; print(numba.config.NUMBA_NUM_THREADS, numba.get_num_threads())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "1 1\n"
