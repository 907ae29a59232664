"""The model defines its samples; the loop gathers, splits, weights and scores them accordingly."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from paired import Pairs
from paths import SUPPORT

from orchestrator.data.base import Dataset
from orchestrator.data.file import File
from orchestrator.models.circuits.program import Program
from orchestrator.models.layered import Layered
from orchestrator.models.samples import EachRow
from orchestrator.training.batches import Batches
from orchestrator.trial.trial import Batch

SIZE = 6
SWEEP = """\
name: alike
base:
  mode: {mode}
  data: {{source: file, path: rows.csv, target: y, weights: w, scale: none, test: 0.3}}
  model: {{kind: alike}}
  loss: binary-cross-entropy
  gradient: {{engine: backprop}}
  updates: {updates}
  batch: {{size: 6}}
  steps: 3
  record: {{parameters: final}}
sweep: [batch.shards: [1, 4], seed: [0, 1]]
"""
NO_STEP = "[{optimizer: sgd, learning_rate: 1.0e-300}]"
"""Keeps the parameters to the last bit, so the final ones are those of every step."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of two classes with weights from 0.5 to 2."""
    folder, draw = tmp_path_factory.mktemp("alike"), np.random.default_rng(0)
    label = np.arange(30) % 2
    values = draw.normal(size=(30, 2)) + label[:, None]
    rows = {"a": values[:, 0], "b": values[:, 1], "w": draw.uniform(0.5, 2.0, 30), "y": label}
    pd.DataFrame(rows).to_csv(folder / "rows.csv", index=False)
    return folder


def asked(folder: Path, *words: str, mode: str = "train", updates: str = NO_STEP) -> tuple[int, str]:
    """Exit code and output of the command line, in a process that has imported ``paired``."""
    (folder / "alike.yaml").write_text(SWEEP.format(mode=mode, updates=updates))
    command = [sys.executable, "-W", "error", "-c", "import paired; paired.main()", *words]
    here = SUPPORT
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def run(folder: Path, mode: str = "train", updates: str = NO_STEP) -> dict[str, pd.DataFrame]:
    """The tables of a run."""
    out = folder / f"{mode}-{len(updates)}"
    words = ("run", str(folder / "alike.yaml"), "--inline", "--out", str(out))
    code, text = asked(folder, *words, mode=mode, updates=updates)
    assert code == 0, text
    return {path.name: pd.read_parquet(path) for path in out.iterdir() if path.is_dir()}


@pytest.fixture(scope="module")
def trained(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables of a training run whose steps change no parameter."""
    return run(folder)


def of(tables: dict[str, pd.DataFrame], name: str, trial: str) -> pd.DataFrame:
    """The rows of a trial in a table."""
    return tables[name][tables[name].trial == trial]


def dataset(folder: Path) -> Dataset:
    fields = {"source": "file", "path": "rows.csv", "target": "y", "weights": "w"}
    return File.parse({**fields, "scale": "none", "test": 0.3}, folder=str(folder)).load()


def expected(data: Dataset, seed: int, step: int, theta: NDArray[np.float64]) -> tuple[float, list[float]]:
    """Loss and gradient over the pairs of a mini-batch, one pair after another."""
    seeds = np.array([seed], np.uint64)
    rows = Batches(data, Batch(size=SIZE), EachRow(), seeds).indices(range(step, step + 1))[0, 0]
    total, loss, gradient = 0.0, 0.0, np.zeros(len(theta))
    for i, j in combinations(rows, 2):
        weight = data.weights[i] * data.weights[j]
        extended = np.concatenate([data.inputs[i], data.inputs[j], [1.0]])
        sign = 1.0 if data.targets[i] == data.targets[j] else -1.0
        margin = sign * (extended @ theta)
        total += weight
        loss += weight * np.log1p(np.exp(-margin))
        gradient -= weight * sign / (1.0 + np.exp(margin)) * extended
    return loss / total, (gradient / total).tolist()


def test_most_models_take_each_row_for_a_sample() -> None:
    assert isinstance(Layered.samples, EachRow)
    assert isinstance(Program.samples, EachRow)


def test_batches_gather_what_the_samples_say(folder: Path) -> None:
    data, seeds = dataset(folder), np.array([1, 2], np.uint64)
    batches = Batches(data, Batch(size=SIZE, shards=4), Pairs(), seeds)
    pieces = batches.shards(range(2), axes=0)
    assert [piece.weights.shape for piece in pieces] == [(4, 3), (4, 4), (4, 4), (4, 4)]
    inputs, targets, weights = (
        np.concatenate([getattr(piece, name) for piece in pieces], axis=1)
        for name in ("inputs", "targets", "weights")
    )
    for row, chosen in enumerate(batches.indices(range(2)).reshape(4, SIZE)):
        pairs = np.array(list(combinations(chosen, 2)))
        assert inputs[row].tolist() == data.inputs[pairs].reshape(-1, 4).tolist()
        assert targets[row].tolist() == (data.targets[pairs[:, 0]] == data.targets[pairs[:, 1]]).tolist()
        product = data.weights[pairs].prod(-1)
        np.testing.assert_allclose(weights[row], product / product.sum(), rtol=1e-15)


def test_pairs_of_rows_train_through_the_real_loop(trained: dict[str, pd.DataFrame], folder: Path) -> None:
    """Losses and gradients are those of a loop over pairs; they add up in 15 terms, hence 1e-13."""
    trials, data = trained["trials"], dataset(folder)
    assert trials.status.tolist() == ["done"] * 4
    for trial, seed in zip(trials.trial, trials.seed, strict=True):
        theta = of(trained, "parameters", trial).value.to_numpy()
        losses = of(trained, "steps", trial).set_index("step").loss
        weights = of(trained, "gradients", trial).query("group == 'alike.weight'").set_index("step")
        for step in range(3):
            loss, gradient = expected(data, seed, step, theta)
            np.testing.assert_allclose(losses[step], loss, rtol=1e-13)
            np.testing.assert_allclose(weights.l2[step], np.linalg.norm(gradient[:4]), rtol=1e-13)
            np.testing.assert_allclose(weights["max"][step], max(gradient[:4]), rtol=1e-13)


def test_statistics_that_need_independent_samples_are_null(
    trained: dict[str, pd.DataFrame], folder: Path
) -> None:
    for tables in (trained, run(folder, "probe", "[]")):
        assert tables["steps"][["noise_trace", "signal_square"]].isna().all(axis=None)
        assert tables["gradients"].sample_variance.isna().all()
        assert tables["gradients"].l2.notna().all()
        assert tables["steps"].loss.notna().all()


def test_scores_are_the_models_own(folder: Path) -> None:
    tables, data = run(folder, updates="[{optimizer: adam, learning_rate: 0.5}]"), dataset(folder)
    trials = tables["trials"]
    assert trials.test_loss.isna().all()
    for trial, accuracy in zip(trials.trial, trials.test_accuracy, strict=True):
        theta = of(tables, "parameters", trial).value.to_numpy()
        likeness = (data.test_inputs @ theta[:2])[:, None] + data.inputs @ theta[2:4] + theta[4]
        assert accuracy == (data.targets[likeness.argmax(-1)] == data.test_targets).mean()


def test_plan_counts_samples_and_refuses_more_shards_than_there_are(folder: Path) -> None:
    sweep = str(folder / "alike.yaml")
    code, text = asked(folder, "plan", sweep)
    assert code == 0, text
    assert re.search(r"gradient evaluations +180\n", text)  # 4 trials of 3 steps of 15 pairs
    code, text = asked(folder, "plan", sweep, "--set", "base.batch.size=3")
    assert code == 2
    assert "batch.shards: is 4, must be at most the 3 samples of a mini-batch" in text
