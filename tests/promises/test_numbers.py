"""Numbers in the Parquet of real sweeps, each against a closed form or another column of the same run."""

from __future__ import annotations

import math
from pathlib import Path

import numba
import numpy as np
import pandas as pd
import pytest

import orchestrator
from orchestrator.runs.digest import digest
from orchestrator.streams import Purpose, Streams

INLINE = orchestrator.Where(inline=True)


def ran(folder: Path, text: str, *overrides: str) -> orchestrator.Results:
    """A sweep that is run in this process."""
    sweep = folder / "sweep.yaml"
    sweep.write_text(text)
    result = orchestrator.run(sweep, folder / "run", where=INLINE, overrides=overrides)
    assert result.failed == 0
    return orchestrator.open_run(folder / "run")


def table(folder: Path, name: str) -> pd.DataFrame:
    """A table of the run in a folder, in the order of its rows."""
    return pd.read_parquet(folder / "run" / name)


# What is random is drawn anew in every step

RESTING = """\
name: resting
base:
  model: {kind: circuit, qubits: 3, layers: 3}
  loss: expectation
  gradient: {engine: adjoint}
  updates: [{optimizer: sgd, learning_rate: 0.0}]  # the parameters stay, so all that varies was drawn
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
    steps = resting[resting.case == case].round(9)  # rows in another order make another rounding error
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
        mine = live[(live.step == step) & (live.depth == depth)]["mean"].to_numpy()
        assert 0 < layer.parameters.item() == len(mine) < 6
        found = layer.iloc[0]
        expected = {
            "mean": mine.mean(),
            "std": mine.std(),
            "l1": np.abs(mine).sum(),
            "q50": np.median(np.abs(mine)),
            "fraction_zero": 0.0,
        }
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, rel=1e-12), name  # rounding of six terms
    parameters = live[live.step == 1].parameter_l2.to_numpy()
    assert steps.parameter_norm[1] == pytest.approx(math.sqrt((parameters**2).sum()), rel=1e-12)


# What is not finite ends its trial

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


# Clips

LIMITED = """name: limited
base:
  data: {source: moons, rows: 20}
  model: {kind: mlp, hidden: [2]}
  loss: binary-cross-entropy
  gradient: {engine: backprop}
  updates: [{clip: value, limit: 1e9}, {optimizer: sgd, learning_rate: 0.1}]
  batch: {size: 8}
  steps: 1
"""


def test_component_exactly_at_a_clips_limit_is_not_clipped(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("free", "value", "norm")]
    for folder in folders:
        folder.mkdir()
    ran(folders[0], LIMITED)
    free = table(folders[0], "gradients").query("kind == 'parameter'").set_index("group")
    largest = free.linf.sort_values()
    limit, norm = float(largest.iloc[-2]), float(table(folders[0], "steps").gradient_norm[0])
    ran(folders[1], LIMITED, f"base.updates.0.limit={limit!r}")
    clipped = table(folders[1], "gradients").query("kind == 'parameter'").set_index("group")
    assert clipped.fraction_clipped[largest.index[-2]] == 0.0
    assert clipped.fraction_clipped[largest.index[-1]] > 0.0
    assert clipped.clipped_l2[largest.index[-2]] == free.l2[largest.index[-2]]
    ran(folders[2], LIMITED, "base.updates.0.clip=norm", f"base.updates.0.limit={norm!r}")
    whole = table(folders[2], "gradients").query("kind == 'parameter'").set_index("group")
    assert whole.fraction_clipped.tolist() == [0.0] * 4
    assert whole.clipped_l2.tolist() == free.l2.tolist()


# What the columns of a training say of each other

TRAINED = """\
name: trained
base:
  data: {source: moons, rows: 20}
  model: {kind: mlp, hidden: [], output: sigmoid}
  loss: binary-cross-entropy
  gradient: {engine: backprop}
  updates: [{clip: value, limit: 0.2}, {optimizer: sgd, learning_rate: 0.5}]
  batch: {size: 8, shards: 2}
  steps: 4
  record: {parameters: final, components: [0, 1, 2]}
"""


def test_columns_of_a_training_are_those_of_its_components(tmp_path: Path) -> None:
    ran(tmp_path, TRAINED)
    steps, groups = table(tmp_path, "steps"), table(tmp_path, "gradients")
    single = groups[groups.group.astype(str).str.startswith("component")]
    g, size = (
        single.pivot(index="step", columns="group", values=name).to_numpy()
        for name in ("mean", "parameter_l2")
    )
    clipped = np.clip(g, -0.2, 0.2)
    after = table(tmp_path, "parameters").value.to_numpy() + 0.5 * np.cumsum(clipped[::-1], axis=0)
    rounded = {"rtol": 1e-13, "atol": 1e-15}  # sums of three and four terms of order 1
    assert (clipped != g).any(axis=1).tolist() == [True] * 4
    np.testing.assert_allclose(steps.gradient_norm, np.linalg.norm(g, axis=1), **rounded)
    np.testing.assert_allclose(steps.clipped_norm, np.linalg.norm(clipped, axis=1), **rounded)
    np.testing.assert_allclose(steps.clip_scale, steps.clipped_norm / steps.gradient_norm, **rounded)
    np.testing.assert_allclose(steps.update_norm, 0.5 * steps.clipped_norm, **rounded)
    np.testing.assert_allclose(size, np.abs(after[::-1]), **rounded)
    np.testing.assert_allclose(steps.parameter_norm, np.linalg.norm(after[::-1], axis=1), **rounded)
    cosines = (g[1:] * g[:-1]).sum(1) / np.linalg.norm(g[1:], axis=1) / np.linalg.norm(g[:-1], axis=1)
    np.testing.assert_allclose(steps.cosine_previous[1:], cosines, **rounded)
    # A row's gradient by the bias is the signal: Σ p δ² = (Σ p δ)² + ⅞ of the variance of eight rows.
    bias, signal = (groups[groups.group == name].reset_index() for name in ("layer0.bias", "layer0.signal"))
    np.testing.assert_allclose(signal.sample_variance, bias.sample_variance, rtol=1e-12)
    np.testing.assert_allclose(signal.l2**2, bias["mean"] ** 2 + 7 / 8 * bias.sample_variance, rtol=1e-12)


PROBED = """\
name: probed
base:
  mode: probe
  data: {source: moons, rows: 20}
  model: {kind: mlp, hidden: [2]}
  loss: binary-cross-entropy
  gradient: {engine: backprop}
  updates: [{clip: norm, limit: 1.0}]
  batch: {size: 8}
  steps: 3
sweep:
  - updates.0.limit: [0.1, 0.2, 1e9]
  - seed: {range: 2}
"""


def test_steps_of_a_probe_are_clipped_at_the_limit_of_their_own_trial(tmp_path: Path) -> None:
    ran(tmp_path, PROBED, "placement.pack=6")
    steps = table(tmp_path, "steps")
    limit = steps["updates.0.limit"].astype(float)
    assert (steps.gradient_norm > 0.2).any()
    np.testing.assert_allclose(steps.clipped_norm, np.minimum(steps.gradient_norm, limit), rtol=1e-14)


# The mean of several observables

MEAN = """name: mean
base:
  mode: probe
  model: {kind: circuit, qubits: 2, layers: 2, observables: [Z0], readout: mean}
  loss: expectation
  gradient: {engine: adjoint}
  steps: 3
sweep:
  - model.observables:
      - [Z0]
      - [zero-projector]
      - [Z0, zero-projector]
      - [{X1: 2.0}]
      - [Z0, zero-projector, {X1: 2.0}]
"""


def test_mean_of_observables_is_the_mean_of_their_values(tmp_path: Path) -> None:
    ran(tmp_path, MEAN)
    index = table(tmp_path, "trials").set_index("trial")["index"]
    steps = table(tmp_path, "steps")
    loss = steps.assign(index=steps.trial.map(index).astype(int)).pivot(index="index", columns="step")["loss"]
    z, projector, both, x, all_three = loss.to_numpy()
    # two simulations of one circuit, and a division
    np.testing.assert_allclose(both, (z + projector) / 2.0, rtol=0.0, atol=1e-14)
    np.testing.assert_allclose(all_three, (z + projector + x) / 3.0, rtol=0.0, atol=1e-14)


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
