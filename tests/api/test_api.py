"""Sweeps from Python: what ``run`` returns, tells its watcher, and leaves behind."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from diary import Diary
from paths import SUPPORT

import orchestrator
from orchestrator.errors import FleetError, InputError
from orchestrator.runs.digest import digest

SMALL = """\
name: small
base:
  data: {source: parity, bits: 3, scale: none}
  model: {kind: mlp, hidden: [2]}
  loss: binary-cross-entropy
  gradient: {engine: backprop}
  updates: [{optimizer: sgd, learning_rate: 0.5}]
  batch: {size: 2, shards: 2}
  steps: 6
  record: {every: 2}
sweep:
  - updates.0.learning_rate: [0.1, 1e+308]
  - seed: {range: 5}
placement: {pack: 4, chunk_steps: 2}
"""
INLINE = orchestrator.Where(inline=True)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "small.yaml"
    path.write_text(SMALL)
    return path


def digest_of(out: Path) -> str:
    return digest(orchestrator.open_run(out)).total


def test_run_leaves_tables_where_it_was_told(sweep: Path, tmp_path: Path) -> None:
    result = orchestrator.run(sweep, tmp_path / "out", where=INLINE)
    assert (result.out, result.finished, result.failed, result.exit_code) == (tmp_path / "out", True, 0, 0)
    run = orchestrator.open_run(tmp_path / "out")
    assert run.finished
    assert run.trials.num_rows == 10
    assert set(run.steps["trial"].to_pylist()) == set(run.trials["trial"].to_pylist())
    assert run.gradients.num_rows == 6 * run.steps.num_rows  # weight, bias and signal of two layers


def test_run_names_its_folder_after_the_sweep(sweep: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert orchestrator.run(sweep, where=INLINE).out == Path("runs/small")
    assert len(pd.read_parquet("runs/small/trials")) == 10


def test_watcher_is_told_in_order(sweep: Path, tmp_path: Path) -> None:
    diary = Diary()
    result = orchestrator.run(sweep, tmp_path / "out", where=INLINE, watcher=diary)
    assert list(diary.heard) == ["opened", "placed", "running", "advanced", "compacting"]
    assert diary.heard["opened"] == ("small", 0, 0, 10)
    assert diary.heard["placed"] == ("in this process", 1)
    assert diary.heard["advanced"] is result.progress


def test_progress_adds_up(sweep: Path, tmp_path: Path) -> None:
    progress = orchestrator.run(sweep, tmp_path, where=INLINE).progress
    trials = pd.read_parquet(tmp_path / "trials")
    assert (progress.trials, progress.kept, progress.ended, progress.failed) == (10, 0, 10, 0)
    assert progress.diverged == (trials.status == "diverged").sum() > 0
    assert progress.steps == trials.steps.sum() < 60


def test_packs_hold_as_many_trials_as_asked_for(sweep: Path, tmp_path: Path) -> None:
    orchestrator.run(sweep, tmp_path, where=INLINE)
    packs = pd.read_parquet(tmp_path / "trials").groupby("pack").trial.count()
    assert packs.tolist() == [4, 4, 2]


def test_stopped_run_is_committed_and_goes_on(sweep: Path, tmp_path: Path) -> None:
    stopped = orchestrator.run(
        sweep, tmp_path, where=INLINE, overrides=["placement.commit_seconds=0"], watcher=Diary(stop_after=2)
    )
    assert not stopped.finished
    assert orchestrator.open_run(tmp_path).steps.num_rows > 0
    diary = Diary()
    assert orchestrator.run(sweep, tmp_path, where=INLINE, watcher=diary).finished
    assert diary.heard["opened"] == ("small", 0, 4, 6)


def test_faults_start_nothing_and_write_nothing(sweep: Path, tmp_path: Path) -> None:
    diary = Diary()
    with pytest.raises(InputError, match="steps: is 0, must be at least 1"):
        orchestrator.run(sweep, tmp_path / "out", overrides=["base.steps=0"], watcher=diary)
    assert diary.heard == {}
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("cluster")
def test_sweep_that_the_cluster_is_too_small_for_can_go_on_elsewhere(sweep: Path, tmp_path: Path) -> None:
    with pytest.raises(FleetError, match="9 workers with 1 CPU each do not fit: the cluster has 4 CPUs"):
        orchestrator.run(sweep, tmp_path / "out", where=orchestrator.Where(workers=9))
    assert orchestrator.run(sweep, tmp_path / "out", where=INLINE).finished


@pytest.mark.usefixtures("cluster")
def test_ray_leaves_what_inline_leaves(sweep: Path, tmp_path: Path) -> None:
    diary = Diary()
    result = orchestrator.run(sweep, tmp_path / "ray", where=orchestrator.Where(workers=2), watcher=diary)
    assert diary.heard["placed"] == ("on the Ray cluster that this process is connected to", 2)
    orchestrator.run(sweep, tmp_path / "inline", where=INLINE)
    ray, inline = (
        pd.read_parquet(tmp_path / place / "steps").drop(columns=["seconds_compute", "seconds_wait"])
        for place in ("ray", "inline")
    )
    pd.testing.assert_frame_equal(ray, inline, check_exact=True)
    assert result.exit_code == 0


def run_sick(sweep: Path, out: Path, *overrides: str, immune: bool = False) -> int:
    """The exit code of a sweep in a process that knows the engines of ``sick_engines``."""
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            "import sick_engines; sick_engines.main()",
            sweep,
            out,
            *overrides,
        ],
        cwd=SUPPORT,
        env={**os.environ, **({"IMMUNE": "yes"} if immune else {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return int(done.stdout)


ALLERGIC = (
    "sweep.0={updates.0.learning_rate: [0.1]}",
    "base.data={source: moons, rows: 20, scale: none, noise: 0.0, test: 0.0}",
    "base.steps=3",
    "base.gradient={engine: allergic, to: 1.0}",
)
"""A sweep of five trials, of which some, but not all, meet what their engine cannot stand."""


def test_error_in_a_users_code_fails_the_trials_that_raise(sweep: Path, tmp_path: Path) -> None:
    assert run_sick(sweep, tmp_path / "run", *ALLERGIC) == 1
    trials = pd.read_parquet(tmp_path / "run" / "trials").sort_values("index")
    assert set(trials.status) == {"done", "failed"}
    failed = trials[trials.status == "failed"]
    assert failed.error.str.endswith("ValueError: cannot stand 1\n").all()
    assert failed.error.str.startswith("error: Traceback").all()
    assert trials[trials.status == "done"].error.isna().all()
    steps = pd.read_parquet(tmp_path / "run" / "steps").groupby("trial").step.count()
    ran = trials.set_index("trial").steps
    assert steps.reindex(ran.index, fill_value=0).tolist() == [-(-count // 2) for count in ran]


def test_failed_trials_are_kept_and_still_told(sweep: Path, tmp_path: Path) -> None:
    forged = "base.gradient={engine: forged}"
    assert run_sick(sweep, tmp_path / "run", forged) == 1
    trials = pd.read_parquet(tmp_path / "run" / "trials")
    assert set(trials.status) == {"failed"}
    assert set(trials.steps) == {0}
    assert set(trials.attempts) == {1}
    assert trials.error.str.endswith("CertificateError: the gradient is 2, the check says 1\n").all()
    assert trials.started_at.isna().all()
    assert run_sick(sweep, tmp_path / "run", forged) == 1
    assert len(pd.read_parquet(tmp_path / "run" / "trials")) == 10


def test_failed_trials_run_again_as_if_they_had_never_failed(sweep: Path, tmp_path: Path) -> None:
    assert run_sick(sweep, tmp_path / "well", *ALLERGIC, immune=True) == 0
    assert run_sick(sweep, tmp_path / "run", *ALLERGIC) == 1
    assert run_sick(sweep, tmp_path / "run", *ALLERGIC, immune=True) == 1  # kept, as nobody asked
    before = pd.read_parquet(tmp_path / "run" / "trials").set_index("trial")
    assert run_sick(sweep, tmp_path / "run", "--retry-failed", *ALLERGIC, immune=True) == 0
    after = pd.read_parquet(tmp_path / "run" / "trials").set_index("trial")
    kept = before[before.status == "done"].index
    assert after.started_at[kept].tolist() == before.started_at[kept].tolist()
    assert digest_of(tmp_path / "run") == digest_of(tmp_path / "well")


def test_trials_that_fail_again_are_there_once(sweep: Path, tmp_path: Path) -> None:
    for words in ((), ("--retry-failed",)):
        assert run_sick(sweep, tmp_path / "run", *words, *ALLERGIC) == 1
    assert len(pd.read_parquet(tmp_path / "run" / "trials")) == 5


def test_retry_leaves_failures_alone_that_the_sweep_no_longer_names(sweep: Path, tmp_path: Path) -> None:
    assert run_sick(sweep, tmp_path / "run", *ALLERGIC) == 1
    other = ("base.steps=2", "base.gradient={engine: backprop}")
    assert run_sick(sweep, tmp_path / "run", "--retry-failed", *ALLERGIC, *other) == 0  # nor do they count
    assert set(pd.read_parquet(tmp_path / "run" / "trials").status) == {"done", "failed"}


def test_identical_failures_stop_the_sweep_and_keep_what_is_done(sweep: Path, tmp_path: Path) -> None:
    single = ("placement.pack=1", "stop_after.identical_failures=1")
    assert run_sick(sweep, tmp_path / "run", *ALLERGIC, *single) == 1
    run = orchestrator.open_run(tmp_path / "run")
    assert not run.finished
    assert run.trials.num_rows < 5
    assert run.count("failed") == 1
    assert run_sick(sweep, tmp_path / "run", "--retry-failed", *ALLERGIC, *single, immune=True) == 0
    assert orchestrator.open_run(tmp_path / "run").count("done") == 5


def test_sweep_stopped_early_says_why_and_how_to_go_on(sweep: Path, tmp_path: Path) -> None:
    words = ["run", str(sweep), "--inline", "--out", str(tmp_path / "run")]
    for override in (*ALLERGIC, "placement.pack=1", "stop_after.identical_failures=1"):
        words += ["--set", override]
    code = "import sick_engines; from orchestrator.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=SUPPORT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    *_, first, second, third, fourth = done.stdout.splitlines()
    assert first == "stopped early, as stop_after.identical_failures asks: 1 trial failed alike"
    assert second.startswith("  (ValueError at File ")
    assert third == "What was done is committed. Remove the cause; then go on, the failed trials included:"
    assert fourth == f"  {shlex.join(['orchestrator', *words, '--retry-failed'])}"


def test_diverged_trial_says_in_which_step(sweep: Path, tmp_path: Path) -> None:
    orchestrator.run(sweep, tmp_path / "run", where=INLINE)
    trials = pd.read_parquet(tmp_path / "run" / "trials")
    diverged = trials[trials.status == "diverged"]
    assert diverged.error.tolist() == [f"non-finite: in step {steps - 1}" for steps in diverged.steps]
    assert trials[trials.status == "done"].error.isna().all()


def test_worker_keeps_no_more_threads_than_it_uses() -> None:
    code = (
        "from orchestrator.backends.batched.threads import use_threads_only; use_threads_only(1); "
        "import numba; print(numba.config.NUMBA_NUM_THREADS, numba.get_num_threads())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "1 1\n"


def test_number_of_files_does_not_grow_with_the_number_of_trials(sweep: Path, tmp_path: Path) -> None:
    for seeds in (1, 40):
        out = tmp_path / str(seeds)
        orchestrator.run(sweep, out, where=INLINE, overrides=[f"sweep.1.seed={{range: {seeds}}}"])
    few, many = (sorted(p.name for p in (tmp_path / n).rglob("*") if p.is_file()) for n in ("1", "40"))
    assert few == many
