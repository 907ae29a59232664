"""Where training starts, as docs/sweep-file.md says."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from sweeps import swept

import orchestrator

BASE = """\
name: start
base:
  data: {source: moons, rows: 20, scale: angle}
  model: {kind: circuit, qubits: 4, layers: 8}
  loss: mse
  gradient: {engine: parameter-shift, backend: {kind: batched}}
  updates: [{optimizer: sgd, learning_rate: 1e-300}]
  batch: {size: 4}
  steps: 1
  record: {parameters: final}
"""
"""A step so short that it changes no bit."""

SAME = "cases: {one: {}, adam: {updates.0.optimizer: adam}, shots: {gradient.backend.shots: 10}}"


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("starts")
    (folder / "a.yaml").write_text(swept(SAME, "seed: [0, 1]", base=BASE))
    orchestrator.run(folder / "a.yaml", folder / "run", where=orchestrator.Where(inline=True))
    run = orchestrator.open_run(folder / "run")
    seeds = run.trials.select(["trial", "case", "seed"]).to_pandas()
    found = run.parameters.select(["trial", "component", "value"]).to_pandas().merge(seeds)
    return found.pivot_table(index="component", columns=["case", "seed"], values="value", observed=True)


def test_angles_start_uniform_in_a_turn(starts: pd.DataFrame) -> None:
    values = starts["one"].to_numpy() / (2.0 * math.pi)
    assert values.size == 2 * 64
    assert ((values >= 0.0) & (values < 1.0)).all()
    # Kolmogorov and Smirnov: with 128 draws the distance stays below 0.144 in 99 % of cases.
    ranks = np.arange(1, values.size + 1) / values.size
    assert np.abs(np.sort(values.ravel()) - ranks).max() < 0.144


def test_start_follows_the_seed_and_nothing_else(starts: pd.DataFrame) -> None:
    for case in ("adam", "shots"):
        np.testing.assert_array_equal(starts[case], starts["one"])
    assert not (starts["one", 0] == starts["one", 1]).any()
