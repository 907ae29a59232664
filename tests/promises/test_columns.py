"""Columns in the Parquet of real sweeps against one another: clips, updates, probes, means of observables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from inline import ran, table

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


# Relations between the columns of a training

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
