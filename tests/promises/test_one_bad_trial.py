"""One bad trial fails alone: the sweep goes on, reports it, and retries failed trials on request."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
from paths import SUPPORT

import orchestrator
from orchestrator.runs.digest import digest

INLINE = orchestrator.Where(inline=True)


def digest_of(out: Path) -> str:
    return digest(orchestrator.open_run(out)).total


def run_sick(small_sweep: Path, out: Path, *overrides: str, immune: bool = False) -> int:
    """The exit code of a sweep in a process that has the engines of ``sick_engines``."""
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            "import sick_engines; sick_engines.main()",
            small_sweep,
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
"""A sweep of five trials. Some of them, but not all, draw a row on which their engine raises."""


def test_error_in_users_code_fails_the_trials_that_raise(small_sweep: Path, tmp_path: Path) -> None:
    assert run_sick(small_sweep, tmp_path / "run", *ALLERGIC) == 1
    trials = pd.read_parquet(tmp_path / "run" / "trials").sort_values("index")
    assert set(trials.status) == {"done", "failed"}
    failed = trials[trials.status == "failed"]
    assert failed.error.str.endswith("ValueError: cannot stand 1\n").all()
    assert failed.error.str.startswith("error: Traceback").all()
    assert trials[trials.status == "done"].error.isna().all()
    steps = pd.read_parquet(tmp_path / "run" / "steps").groupby("trial").step.count()
    ran = trials.set_index("trial").steps
    assert steps.reindex(ran.index, fill_value=0).tolist() == [-(-count // 2) for count in ran]


def test_failed_trials_are_kept_and_still_reported(small_sweep: Path, tmp_path: Path) -> None:
    forged = "base.gradient={engine: forged}"
    assert run_sick(small_sweep, tmp_path / "run", forged) == 1
    trials = pd.read_parquet(tmp_path / "run" / "trials")
    assert set(trials.status) == {"failed"}
    assert set(trials.steps) == {0}
    assert set(trials.attempts) == {1}
    assert trials.error.str.endswith("CertificateError: the gradient is 2, the check says 1\n").all()
    assert trials.started_at.isna().all()
    assert run_sick(small_sweep, tmp_path / "run", forged) == 1
    assert len(pd.read_parquet(tmp_path / "run" / "trials")) == 10


def test_failed_trials_run_again_as_if_they_had_never_failed(small_sweep: Path, tmp_path: Path) -> None:
    assert run_sick(small_sweep, tmp_path / "well", *ALLERGIC, immune=True) == 0
    assert run_sick(small_sweep, tmp_path / "run", *ALLERGIC) == 1
    assert run_sick(small_sweep, tmp_path / "run", *ALLERGIC, immune=True) == 1  # kept without --retry-failed
    before = pd.read_parquet(tmp_path / "run" / "trials").set_index("trial")
    assert run_sick(small_sweep, tmp_path / "run", "--retry-failed", *ALLERGIC, immune=True) == 0
    after = pd.read_parquet(tmp_path / "run" / "trials").set_index("trial")
    kept = before[before.status == "done"].index
    assert after.started_at[kept].tolist() == before.started_at[kept].tolist()
    assert digest_of(tmp_path / "run") == digest_of(tmp_path / "well")


def test_trials_that_fail_again_have_one_row(small_sweep: Path, tmp_path: Path) -> None:
    for words in ((), ("--retry-failed",)):
        assert run_sick(small_sweep, tmp_path / "run", *words, *ALLERGIC) == 1
    assert len(pd.read_parquet(tmp_path / "run" / "trials")) == 5


def test_retry_keeps_failures_that_the_sweep_no_longer_names(small_sweep: Path, tmp_path: Path) -> None:
    assert run_sick(small_sweep, tmp_path / "run", *ALLERGIC) == 1
    other = ("base.steps=2", "base.gradient={engine: backprop}")
    assert (
        run_sick(small_sweep, tmp_path / "run", "--retry-failed", *ALLERGIC, *other) == 0
    )  # nor do they count
    assert set(pd.read_parquet(tmp_path / "run" / "trials").status) == {"done", "failed"}


def test_identical_failures_stop_the_sweep_and_keep_ended_trials(small_sweep: Path, tmp_path: Path) -> None:
    single = ("placement.pack=1", "stop_after.identical_failures=1")
    assert run_sick(small_sweep, tmp_path / "run", *ALLERGIC, *single) == 1
    run = orchestrator.open_run(tmp_path / "run")
    assert not run.finished
    assert run.trials.num_rows < 5
    assert run.count("failed") == 1
    assert run_sick(small_sweep, tmp_path / "run", "--retry-failed", *ALLERGIC, *single, immune=True) == 0
    assert orchestrator.open_run(tmp_path / "run").count("done") == 5


def test_sweep_stopped_early_says_why_and_how_to_go_on(small_sweep: Path, tmp_path: Path) -> None:
    words = ["run", str(small_sweep), "--inline", "--out", str(tmp_path / "run")]
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
    assert first == "stopped early, as stop_after.identical_failures asks: 1 trial failed in the same way"
    assert second.startswith("  (ValueError at File ")
    assert (
        third
        == "All results received are committed. Remove the cause, then resume and retry the failed trials:"
    )
    assert fourth == f"  {shlex.join(['orchestrator', *words, '--retry-failed'])}"


def test_diverged_trial_names_its_step(small_sweep: Path, tmp_path: Path) -> None:
    orchestrator.run(small_sweep, tmp_path / "run", where=INLINE)
    trials = pd.read_parquet(tmp_path / "run" / "trials")
    diverged = trials[trials.status == "diverged"]
    assert diverged.error.tolist() == [f"non-finite: in step {steps - 1}" for steps in diverged.steps]
    assert trials[trials.status == "done"].error.isna().all()
