"""Numbers in the Parquet of real sweeps, each against a closed form or another column of the same run."""

from __future__ import annotations

import math
from pathlib import Path

import numba
import numpy as np
import pandas as pd
import pytest
from inline import ran, table

from orchestrator.runs.digest import digest
from orchestrator.streams import Purpose, Streams

# Random numbers are drawn anew in every step

RESTING = """\
name: resting
base:
  model: {kind: circuit, qubits: 3, layers: 3}
  loss: expectation
  gradient: {engine: adjoint}
  updates: [{optimizer: sgd, learning_rate: 0.0}]  # the parameters stay, so all variation is drawn
  steps: 6
sweep:
  - cases:
      nothing: {}
      shots: {gradient: {engine: parameter-shift, backend: {kind: batched, shots: 1000000}}}
      directions: {gradient: {engine: spsa}}
      axes: {model: {kind: circuit, qubits: 3, layers: 3, ansatz: random-pauli, observable: Z0 Z1}}
      probe: {mode: probe, updates: []}
      batches:
        data: {source: moons, rows: 20, test: 0.0}
        model: {kind: mlp, hidden: [2]}
        loss: binary-cross-entropy
        gradient: {engine: backprop}
        batch: {size: 4}
      probed-network:  # the mini-batch is all there is
        mode: probe
        updates: []
        data: {source: moons, rows: 20, test: 0.0}
        model: {kind: mlp, hidden: [2]}
        loss: binary-cross-entropy
        gradient: {engine: backprop}
        batch: {size: 20}
  - seed: {range: 2}
"""


@pytest.fixture(scope="module")
def resting(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The steps of trials whose parameters stay."""
    folder = tmp_path_factory.mktemp("resting")
    ran(folder, RESTING)
    return table(folder, "steps")


@pytest.mark.parametrize(
    ("case", "losses", "norms"),
    [
        ("nothing", 1, 1),
        ("shots", 6, 6),
        ("directions", 1, 6),
        ("axes", 6, 6),
        ("batches", 6, 6),
        ("probe", 6, 6),
        ("probed-network", 6, 6),
    ],
)
def test_every_step_and_every_trial_draws_its_own_numbers(
    resting: pd.DataFrame, case: str, losses: int, norms: int
) -> None:
    """Distinct values in six steps: by shots, SPSA's directions, axes, rows of data, a probe's parameters."""
    steps = resting[resting.case == case].round(9)  # another order of rows has another rounding error
    for column, count in (("loss", losses), ("gradient_norm", norms)):
        assert steps.groupby("trial", observed=True)[column].nunique().tolist() == [count, count]
        assert steps[column].nunique() == 2 * count


# Shards are summed in the order of the mini-batch

TERMS = """name: terms
base:
  data: {source: file, path: rows.csv, target: y, scale: none, test: 0.0}
  model: {kind: mlp, hidden: [], output: linear, init: zeros}  # o = 0: the loss of a row is y²
  loss: mse
  gradient: {engine: backprop}
  updates: [{optimizer: sgd, learning_rate: 0.0}]
  batch: {size: 3, shards: 3}
  steps: 1
sweep: [{seed: {range: 30}}]
"""


def test_shards_are_summed_in_their_order_to_the_last_bit(tmp_path: Path) -> None:
    """As (0.1 + 0.2) + 0.3 is not 0.1 + (0.2 + 0.3), the bits of ⅓y₀² + ⅓y₁² + ⅓y₂² depend on the order."""
    values = np.array([0.1, 0.7, 1.9])
    (tmp_path / "rows.csv").write_text("x,y\n" + "".join(f"1.0,{y!r}\n" for y in values.tolist()))
    ran(tmp_path, TERMS)
    trials, steps = (table(tmp_path, name).set_index("trial") for name in ("trials", "steps"))
    order = Streams(trials.seed.to_numpy(), 0).permutations(Purpose.BATCHES, 3)
    terms = (1.0 / 3.0) * np.square(values)[order]
    first_to_last, last_to_first = ((a + b) + c for a, b, c in (terms.T, terms.T[::-1]))
    assert (first_to_last != last_to_first).any()
    np.testing.assert_array_equal(steps.loss[trials.index], first_to_last)


# Dead parameters

DEAD = """name: dead
base:
  data: {source: moons, rows: 20, scale: angle}
  model: {kind: circuit, qubits: 3, layers: 2, observable: Z0}
  loss: mse
  gradient: {engine: adjoint}
  updates: [{optimizer: sgd, learning_rate: 0.5}]
  batch: {size: 8, shards: 2}
  steps: 2
  record: {parameters: final, components: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]}
"""


def test_statistics_are_over_live_parameters_alone(tmp_path: Path) -> None:
    ran(tmp_path, DEAD)
    trial, steps, groups = (table(tmp_path, name) for name in ("trials", "steps", "gradients"))
    single = groups.group.astype(str).str.startswith("component")
    layers, live = groups[~single], groups[single & (groups.parameters == 1)]
    assert live[live.step == 0].shape[0] == (trial.parameters - trial.parameters_dead).item() < 12
    for (step, depth), layer in layers.groupby(["step", "depth"]):
        own = live[(live.step == step) & (live.depth == depth)]["mean"].to_numpy()
        assert 0 < layer.parameters.item() == len(own) < 6
        row = layer.iloc[0]
        expected = {
            "mean": own.mean(),
            "std": own.std(),
            "l1": np.abs(own).sum(),
            "q50": np.median(np.abs(own)),
            "fraction_zero": 0.0,
        }
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, rel=1e-12), name  # rounding of six terms
    parameters = live[live.step == 1].parameter_l2.to_numpy()
    assert steps.parameter_norm[1] == pytest.approx(math.sqrt((parameters**2).sum()), rel=1e-12)


# Values that are not finite end their trial

STEEP = """name: steep
base:
  data: {source: file, path: rows.csv, target: y, scale: none, test: 0.0}
  model: {kind: mlp, hidden: [], output: linear, init: zeros}
  loss: mse
  gradient: {engine: backprop}
  updates: [{optimizer: sgd, learning_rate: 0.0}]
  batch: {size: 2, shards: 1}
  steps: 3
sweep:
  - cases:
      train: {}
      probe: {mode: probe, updates: []}
"""


@pytest.mark.parametrize(
    ("row", "loss", "gradient"), [("1e200,1e150", True, False), ("1.0,1e160", False, True)]
)
@pytest.mark.parametrize("case", ["train", "probe"])
def test_loss_or_gradient_that_alone_is_not_finite_ends_the_trial(
    tmp_path: Path, row: str, loss: bool, gradient: bool, case: str
) -> None:
    """o = 0: the loss is y², the gradient by the weight -2yx, by the bias -2y."""
    (tmp_path / "rows.csv").write_text(f"x,y\n{row}\n{row}\n")
    ran(tmp_path, STEEP)
    trial, steps, groups = (
        table(tmp_path, name).set_index("case").loc[[case]] for name in ("trials", "steps", "gradients")
    )
    assert (trial.status.item(), trial.steps.item()) == ("diverged", 1)
    assert steps.finite.tolist() == [False]
    assert np.isfinite(steps.loss).tolist() == [loss]
    assert (groups[groups.kind == "parameter"].fraction_nonfinite.max() == 0.0) == gradient


# Threads

LARGE = """name: large
base:
  model: {kind: circuit, qubits: 16, layers: 2}
  loss: expectation
  gradient: {engine: adjoint}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  steps: 2
"""


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two CPUs")
def test_bits_of_a_large_circuit_do_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    """From 16 qubits on, threads share one state and its sums."""
    digests = set()
    for threads in (1, 2):
        folder = tmp_path / str(threads)
        folder.mkdir()
        digests.add(digest(ran(folder, LARGE, f"placement.threads={threads}")).total)
    assert len(digests) == 1
