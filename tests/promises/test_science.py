"""Published results, reproduced by real sweeps and read from their Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from paths import ROOT

import orchestrator

INLINE = orchestrator.Where(inline=True)


def gradients(sweep: Path, out: Path, *overrides: str) -> pd.DataFrame:
    """The table ``gradients`` of a sweep that has run."""
    orchestrator.run(sweep, out, where=INLINE, overrides=overrides)
    return pd.read_parquet(out / "gradients")


@pytest.fixture(scope="module")
def signals(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Mean square of the back-propagated signal by init (rows) and depth (columns)."""
    out = tmp_path_factory.mktemp("vanishing")
    table = gradients(
        ROOT / "jobs" / "vanishing.yaml", out, "base.steps=10", "base.model.hidden=[100,100,100,100,100]"
    )
    table = table[table.kind == "signal"].assign(square=lambda t: t.l2**2 / t.parameters)
    return table.pivot_table("square", "model.init", "depth", observed=True)


def test_signal_falls_by_a_third_in_every_hidden_layer_under_uniform_init(signals: pd.DataFrame) -> None:
    """Glorot & Bengio (2010), eq. 6 and 16: n Var W = 1/3 under U[±1/√n]; tanh' < 1 takes a little more."""
    falls = (signals.loc["uniform"] / signals.loc["uniform"].shift(-1))[:4]
    # tanh'² averages about 0.94 at the first layer's unit-variance activations and nears 1 further up;
    # a layer of 100 units over 10 seeds scatters by sqrt(2/1000), about 5 %.
    assert falls.between(0.2, 0.37).all()
    assert falls[1:].mean() == pytest.approx(1 / 3, rel=0.1)


def test_signal_stays_level_under_glorot_init(signals: pd.DataFrame) -> None:
    """Glorot & Bengio (2010), eq. 12: Var W = 2/(n_in + n_out); the only loss is tanh'."""
    falls = (signals.loc["glorot"] / signals.loc["glorot"].shift(-1))[:4]
    assert falls.between(0.5, 1.05).all()


DEEP = """
name: deep
base:
  mode: probe
  model: {{kind: circuit, qubits: {qubits}, layers: {layers}, ansatz: efficient-su2}}
  loss: expectation
  gradient: {{engine: adjoint}}
  steps: 4000
"""


@pytest.mark.parametrize("qubits", [2, 3, 4])
def test_variance_of_an_expectation_is_that_of_a_two_design(qubits: int, tmp_path: Path) -> None:
    """Var<O> = 1/(d+1) for Haar-random states and a traceless Pauli string."""
    sweep = tmp_path / "deep.yaml"
    sweep.write_text(DEEP.format(qubits=qubits, layers=8 * qubits))
    orchestrator.run(sweep, tmp_path / "run", where=INLINE)
    loss = pd.read_parquet(tmp_path / "run" / "steps").loss.to_numpy()
    squares = loss**2  # the mean is 0
    error = squares.std() / np.sqrt(len(squares))
    assert abs(squares.mean() - 1 / (2**qubits + 1)) < 4 * error


def test_gradient_variance_falls_as_in_mcclean(tmp_path: Path) -> None:
    """McClean et al. (2018): Var of the first angle's gradient is d / [3(d² − 1)] in the deep limit."""
    table = gradients(ROOT / "jobs" / "plateaus.yaml", tmp_path)
    first = table[table.group == "component0"]
    for qubits, rows in first.groupby("model.qubits"):
        squares = rows.l2.to_numpy() ** 2
        d = 2 ** int(qubits)
        error = squares.std() / np.sqrt(len(squares))
        assert abs(squares.mean() - d / (3 * (d * d - 1))) < 4 * error


MIDDLE = """\
name: middle
base:
  mode: probe
  model: {{kind: circuit, qubits: {qubits}, layers: {layers}, ansatz: efficient-su2}}
  loss: expectation
  gradient: {{engine: adjoint}}
  steps: 4000
  record: {{components: [{component}]}}
"""


@pytest.mark.parametrize("qubits", [2, 3, 4])
def test_gradient_variance_between_two_designs(qubits: int, tmp_path: Path) -> None:
    """Var ∂E = d² / [2(d+1)(d²−1)] with Haar-random circuits before and after the gate."""
    layers, d = 16 * qubits, 2**qubits
    sweep = tmp_path / "middle.yaml"
    sweep.write_text(MIDDLE.format(qubits=qubits, layers=layers, component=2 * qubits * (layers // 2)))
    orchestrator.run(sweep, tmp_path / "run", where=INLINE)
    table = pd.read_parquet(tmp_path / "run" / "gradients")
    squares = table[table.group.str.startswith("component")].l2.to_numpy() ** 2  # the mean is 0
    error = squares.std() / np.sqrt(len(squares))
    assert abs(squares.mean() - d * d / (2 * (d + 1) * (d * d - 1))) < 4 * error


BOUNDED = """\
name: bounded
base:
  mode: probe
  data: {source: moons, rows: 40, scale: angle}
  model: {kind: circuit, python: "shared:shared", inputs: [x], observable: {Z0: 0.75, X1: -0.5}}
  loss: mse
  gradient: {engine: adjoint}
  updates: [null]
  batch: {size: 1}
  steps: 2000
sweep:
  - loss: [mse, linear]
  - updates.0: [{clip: value, limit: 33.75}, {clip: norm, limit: 39.4}, {clip: value, limit: 0.5}]
"""

SHARED = """
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector


def shared():
    x, t = ParameterVector("x", 2), ParameterVector("t", 3)
    circuit = QuantumCircuit(2)
    for qubit in range(2):
        circuit.ry(x[qubit], qubit)
        circuit.rx(3 * t[0], qubit)
    circuit.cx(0, 1)
    circuit.rz(2 * t[1], 1)
    circuit.rx(t[1], 0)
    circuit.ry(t[2], 0)
    circuit.cx(0, 1)
    circuit.ry(t[2], 1)
    return circuit
"""


def test_quantum_gradients_are_bounded_so_clips_above_the_bound_do_nothing(tmp_path: Path) -> None:
    """|∂_k l| ≤ Σ |s| · ||O|| · sup|l'|, over the gates that turn by s θ_k.

    Here Σ |s| is 6, 3 and 2, and ||O|| at most 1.25. For mse on ±1 sup|l'| is 2 (1.25 + 1): components are at
    most 33.75, 16.875 and 11.25, their norm is at most 39.4.
    """
    (tmp_path / "shared.py").write_text(SHARED)
    (tmp_path / "bounded.yaml").write_text(BOUNDED)
    assert orchestrator.run(tmp_path / "bounded.yaml", tmp_path / "run", where=INLINE).exit_code == 0
    table = pd.read_parquet(tmp_path / "run" / "gradients")
    slope = {"mse": 4.5, "linear": 0.5}  # sup|l'|
    for loss, rows in table.groupby("loss", observed=True):
        assert rows.linf.max() <= 6 * 1.25 * slope[str(loss)]
    above = table[table["updates.0"].astype(str).str.contains("33|39")]
    assert (above.fraction_clipped == 0.0).all()
    np.testing.assert_array_equal(above.clipped_l2, above.l2)
    below = table[~table.index.isin(above.index)]
    assert (below.fraction_clipped > 0.0).any()
    assert (below.clipped_l2 <= below.l2).all()


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the quickstart."""
    out = tmp_path_factory.mktemp("quickstart")
    orchestrator.run(ROOT / "jobs" / "quickstart.yaml", out, where=INLINE)
    return out


def test_quickstart_shows_the_effect_of_clipping(quickstart: Path) -> None:
    steps = pd.read_parquet(quickstart / "steps")
    clipped = (
        (steps.clipped_norm < steps.gradient_norm)
        .groupby([steps.case, steps["updates.0"]], observed=True)
        .mean()
    )
    assert clipped["mlp", "norm 1"] >= 0.95
    assert clipped["circuit", "norm 1"] <= 0.01
    groups = pd.read_parquet(quickstart / "gradients").query("kind == 'parameter'")
    groups = groups.assign(changed=groups.fraction_clipped * groups.parameters)
    sums = groups.groupby(["case", "updates.0"], observed=True)[["changed", "parameters"]].sum()
    components = sums.changed / sums.parameters
    assert 0.25 <= components["mlp", "value 0.1"] <= 0.6
    assert components["circuit", "value 0.1"] <= 0.1


def test_quickstart_norms_blow_up_only_without_clipping(quickstart: Path) -> None:
    largest = (
        pd.read_parquet(quickstart / "steps")
        .groupby(["case", "updates.0"], observed=True)
        .gradient_norm.max()
    )
    assert largest["mlp", "none"] > 1e7
    assert largest["mlp", "norm 1"] < 1e3
    # |∂_k E| ≤ 1 for a rotation of scale 1, times |l'| ≤ 4 of the squared error on labels ±1, 24 parameters
    assert largest["circuit"].max() <= 4 * np.sqrt(24)
