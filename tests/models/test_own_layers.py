"""A layer that is defined in the tests only: it needs no support in the package."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_layers import Echo
from paths import SUPPORT
from sums import arrays, assert_same_bits, rows_of

import orchestrator
from orchestrator.config.families import discover
from orchestrator.engines.base import Engine
from orchestrator.engines.gradient import Shard
from orchestrator.errors import InputError
from orchestrator.models.circuits.circuit import Circuit
from orchestrator.models.circuits.qasm_circuit import QasmCircuit
from orchestrator.models.dense import Dense
from orchestrator.models.hybrid import Hybrid
from orchestrator.models.layer import Layer
from orchestrator.models.layered import Layered
from orchestrator.streams import Purpose, Streams
from orchestrator.trial.problem import format_bytes

ROUNDING = 1e-10
DENSE: dict[str, Any] = {"kind": "dense", "units": 2, "activation": "tanh"}
ECHOED = {"kind": "circuit", "qubits": 2, "layers": 1, "ansatz": "random-pauli"}
ECHO: dict[str, Any] = {"kind": "echo", "circuit": {**ECHOED, "observables": ["Z0", {"Z0": 0.5}]}}
LAST: dict[str, Any] = {"kind": "circuit", "qubits": 2, "layers": 1, "observable": "Z0 Z1"}
KINDS: dict[str, type[Layer]] = {"dense": Dense, "echo": Echo, "circuit": Circuit}

SWEEP = """\
name: echo
base:
  data: {source: moons, rows: 40, scale: angle}
  model:
    kind: hybrid
    layers:
      - {kind: dense, units: 2, activation: tanh}
      - kind: echo
        circuit:
          {kind: circuit, qubits: 2, layers: 1, ansatz: random-pauli, observables: [Z0, {Z0: 0.5}]}
      - {kind: circuit, qubits: 2, layers: 1, observable: Z0 Z1}
  loss: mse
  gradient: {engine: adjoint}
  updates: [{optimizer: adam, learning_rate: 0.1}]
  batch: {size: 8, shards: 2}
  steps: 3
  record: {parameters: final}
sweep: [seed: [0, 1]]
"""


def hybrid(*layers: dict[str, Any]) -> Layered:
    """Built without validation: the family of layers was discovered before the tests' layer was imported."""
    parsed = tuple(KINDS[layer["kind"]].parse(layer) for layer in layers or (DENSE, ECHO, LAST))
    return Hybrid.model_construct(kind="hybrid", layers=parsed).build(3, 2)


def engine(engine: str = "adjoint", **options: Any) -> Engine:
    return discover(Engine)[f"engine={engine}"].parse({"engine": engine, **options})


def draw(model: Layered, rows: int = 2, samples: int = 3) -> tuple[Any, Shard]:
    """Random parameters and a shard of two classes with uneven weights."""
    streams = Streams(np.arange(rows), 0)
    weights = 0.5 + streams.uniform(Purpose.DATA, samples, 1)
    shard = Shard(
        (2.0 * streams.uniform(Purpose.DATA, samples * 3) - 1.0).reshape(rows, samples, 3),
        np.asarray(streams.uniform(Purpose.DATA, samples, 2) < 0.5, np.float64),
        weights / weights.sum(-1, keepdims=True),
        (streams.bits(Purpose.AXES, model.axes) % np.uint64(3)).astype(np.int8),
        streams,
    )
    return model.initial(streams) + 0.1, shard


def test_own_layer_has_groups_signals_and_names_between_those_of_the_others() -> None:
    model = hybrid()
    assert [(g.name, g.start, g.stop, g.depth, g.units) for g in model.groups] == [
        ("dense0.weight", 0, 6, 0, 2),
        ("dense0.bias", 6, 8, 0, 1),
        ("echo1.weight", 8, 10, 1, 2),
        ("echo1.layer0", 10, 12, 2, 1),
        ("circuit2.layer0", 12, 16, 3, 1),
    ]
    assert [(g.name, g.start, g.stop, g.depth, g.kind) for g in model.signals] == [
        ("dense0.signal", 0, 2, 0, "signal"),
        ("echo1.lag1", 2, 4, 2, "signal"),
        ("echo1.lag0", 4, 6, 2, "signal"),
        ("circuit2.signal", 6, 7, 3, "signal"),
    ]
    assert model.names[8:12] == ("echo1.weight[0]", "echo1.weight[1]", "echo1.θ[0]", "echo1.θ[1]")
    assert (model.axes, model.head, len(model.circuits)) == (2, "expectation", 3)


def test_gradient_agrees_with_differences_of_the_loss() -> None:
    model = hybrid()
    ready, (parameters, shard) = engine().prepare(model, "mse", 2), draw(model, rows=4)
    assert len(np.unique(shard.axes)) == 3
    total, step = ready.gradient(parameters, shard), 1e-5
    for k in range(model.parameters):
        shift = np.zeros(model.parameters)
        shift[k] = step
        above, below = (ready.gradient(parameters + by, shard).loss for by in (shift, -shift))
        # central differences: h² and 1e-16/h are both 1e-10; the loss's third derivatives are near 10
        np.testing.assert_allclose(total.gradient[:, k], (above - below) / (2 * step), rtol=0.0, atol=1e-8)


def test_dead_parameters_are_those_with_zero_gradient_before_the_layer_too() -> None:
    model = hybrid()
    ready, (parameters, shard) = engine().prepare(model, "mse", 2), draw(model, rows=20)
    found = np.abs(ready.gradient(parameters, shard).gradient).max(axis=0)
    # Z0 depends on the first qubit only: not on the second unit, nor on rotations of the second qubit.
    # For most drawn axes it depends on the first angle.
    assert model.dead[:12].tolist() == [False, True] * 4 + [False, True] * 2
    assert not found[model.dead].any()
    assert found[~model.dead].all()


@pytest.mark.parametrize("by", [("parameter-shift", {}), ("finite-difference", {"step": 1e-5})])
def test_engines_agree(by: tuple[str, dict[str, Any]]) -> None:
    model = hybrid()
    found = engine(by[0], **by[1]).prepare(model, "mse", 2).gradient(*draw(model))
    expected = engine().prepare(model, "mse", 2).gradient(*draw(model))
    # central differences of step 1e-5 as above; rounding alone for parameter shifts
    tolerance = 1e-8 if by[0] == "finite-difference" else ROUNDING
    actual, desired = arrays(found), arrays(expected)
    for name in ("loss", "gradient", "moments.square"):
        np.testing.assert_allclose(actual[name], desired[name], rtol=0.0, atol=tolerance)


def test_executions_count_each_use_of_a_circuit() -> None:
    model = hybrid()
    adjoint = engine().prepare(model, "mse", 2).gradient(*draw(model))
    assert adjoint.cost.executions.tolist() == [3.0 * 3] * 2
    spsa = engine("spsa", directions=2).prepare(model, "mse", 2).gradient(*draw(model))
    assert spsa.cost.executions.tolist() == [3.0 * 3 * 5] * 2


def test_moments_are_those_of_the_per_sample_gradients_and_signals() -> None:
    model = hybrid()
    ready, (parameters, shard) = engine().prepare(model, "mse", 2), draw(model)
    total = arrays(ready.gradient(parameters, shard))
    for first, second in (("gradient", "moments.square"), ("signals.signal", "signals.square")):
        mean, square = 0.0, 0.0
        for i in range(3):
            inputs, targets, weight = shard.inputs[:, [i]], shard.targets[:, [i]], shard.weights[:, [i]]
            one = replace(shard, inputs=inputs, targets=targets, weights=np.ones((2, 1)))
            found = arrays(ready.gradient(parameters, one))[first]
            mean, square = mean + weight * found, square + weight * found**2
        np.testing.assert_allclose(total[first], mean, rtol=0.0, atol=1e-14)
        np.testing.assert_allclose(total[second], square, rtol=1e-12, atol=1e-30)  # zeros are (1e-16)²


def test_row_has_the_same_bits_alone_and_in_any_pack() -> None:
    model = hybrid()
    ready, (parameters, shard) = engine().prepare(model, "mse", 2), draw(model, rows=5)
    total = ready.gradient(parameters, shard)
    for row in range(5):
        own = slice(row, row + 1)
        alone = Shard(shard.inputs[own], shard.targets[own], shard.weights[own], shard.axes[own])
        found = ready.gradient(parameters[own], alone)
        assert_same_bits(found, rows_of(total, own))


def test_memory_of_the_layer_is_counted_and_sufficient() -> None:
    model, by = hybrid(), engine()
    without = hybrid(DENSE, LAST)
    assert by.shard_bytes(model, 20, 30) > by.shard_bytes(without, 20, 30) + 20 * 30 * 8 * model.parameters
    ready, (parameters, shard) = by.prepare(model, "mse", 2), draw(model, 20, 30)
    ready.gradient(parameters, shard)
    tracemalloc.start()
    ready.gradient(parameters, shard)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= by.shard_bytes(model, 20, 30)


def test_layer_refuses_a_circuit_that_does_not_fit() -> None:
    with pytest.raises(InputError, match=r"model\.layers\.1\.circuit: has 2 observables"):
        hybrid({**DENSE, "units": 1}, ECHO, LAST)


def test_files_of_a_layer_and_of_its_circuit_are_those_of_the_hybrid(tmp_path: Path) -> None:
    file = tmp_path / "own.qasm"
    file.write_text("OPENQASM 3; input angle t; qubit q; U(t, 0, 0) q;")
    echo = Echo.model_construct(kind="echo", circuit=QasmCircuit(kind="circuit", qasm=str(file)))
    layers = (KINDS["dense"].parse(DENSE), echo)
    assert list(Hybrid.model_construct(kind="hybrid", layers=layers).fingerprints()) == [str(file)]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("echo") / "echo.yaml"
    path.write_text(SWEEP)
    return path


def command(*words: str | Path) -> str:
    """The output of a verb in a process that imports the layer first."""
    done = subprocess.run(
        [sys.executable, "-c", "import own_layers; from orchestrator.cli import main; main()", *words],
        cwd=SUPPORT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_layer_trains_from_a_sweep_file_and_tables_have_its_groups_and_signals(
    sweep: Path, tmp_path: Path
) -> None:
    command("run", sweep, "--inline", "--out", tmp_path / "run")
    run = orchestrator.open_run(tmp_path / "run")
    trials, gradients = run.trials.to_pandas(), run.gradients.to_pandas()
    assert trials["status"].tolist() == ["done"] * 2
    assert (trials["parameters"] == 14).all()  # two features, so two weights less than above
    assert (trials["parameters_dead"] == 8).all()
    assert (trials["certificate"] < 1e-12).all()
    assert (run.steps.to_pandas()["executions"] == 8 * 3).all()
    first = gradients[(gradients["trial"] == trials["trial"][0]) & (gradients["step"] == 0)]
    found = {row.group: (row.kind, row.depth, row.parameters) for row in first.itertuples()}
    assert found["echo1.weight"] == ("parameter", 1, 1)
    assert found["echo1.layer0"] == ("parameter", 2, 1)
    assert found["echo1.lag1"] == found["echo1.lag0"] == ("signal", 2, 2)
    own = gradients[gradients["group"].isin(["echo1.lag1", "echo1.lag0", "echo1.weight"])]
    assert (own["l2"] > 0.0).all()
    values = run.read("parameters").to_pandas()
    assert (values["group"] == "echo1.weight").sum() == 4


def test_plan_counts_the_layers_parameters_and_memory(sweep: Path) -> None:
    text = command("plan", sweep, "--parameters")
    assert "dense 2, echo of circuit 2 qubits × 1, circuit 2 qubits × 1" in text
    assert [line.split()[3] for line in text.splitlines() if "echo1.weight[" in line] == ["live", "dead"]
    layers = tuple(KINDS[layer["kind"]].parse(layer) for layer in (DENSE, ECHO, LAST))
    model = Hybrid.model_construct(kind="hybrid", layers=layers).build(2, 2)
    (memory,) = (line for line in text.splitlines() if line.startswith("largest shard memory"))
    assert memory.endswith(f" {format_bytes(engine().shard_bytes(model, 1, 4))}")
