"""Hybrids: sequences of dense layers and circuits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp, Statevector
from sums import arrays, assert_same_bits, rows_of

from orchestrator.config.base import ConfigError
from orchestrator.config.families import discover
from orchestrator.engines.base import Engine
from orchestrator.engines.gradient import GradientSum, Shard
from orchestrator.errors import CertificateError, InputError
from orchestrator.models.base import Model
from orchestrator.models.circuits.circuit import Circuit
from orchestrator.models.hybrid import Hybrid
from orchestrator.models.layered import Layered
from orchestrator.models.mlp import Mlp
from orchestrator.models.quantum import Quantum
from orchestrator.streams import Purpose, Streams

ROUNDING = 1e-10
CIRCUIT = {"kind": "circuit", "qubits": 3, "layers": 2, "observables": ["Z0", {"Z1": 0.5, "X2": -0.5}]}
LAYERS = [{"kind": "dense", "units": 2, "activation": "tanh"}, CIRCUIT, {"kind": "dense"}]
AER = {"kind": "aer"}
ENGINES: dict[str, dict[str, Any]] = {
    "adjoint on Aer": {"engine": "adjoint", "backend": AER},
    "parameter shift": {"engine": "parameter-shift"},
    "parameter shift on Aer": {"engine": "parameter-shift", "backend": AER},
    "finite differences": {"engine": "finite-difference"},
}


def hybrid(*layers: dict[str, Any], features: int = 3, classes: int = 2) -> Layered:
    return Hybrid.parse({"kind": "hybrid", "layers": list(layers or LAYERS)}).build(features, classes)


def engine(engine: str = "adjoint", **options: Any) -> Engine:
    return discover(Engine)[f"engine={engine}"].parse({"engine": engine, **options})


def draw(model: Layered, rows: int = 2, samples: int = 3, features: int = 3) -> tuple[Any, Shard]:
    """Random parameters and a shard of two classes with uneven weights."""
    streams = Streams(np.arange(rows), 0)
    inputs = 2.0 * streams.uniform(Purpose.DATA, samples * features) - 1.0
    weights = 0.5 + streams.uniform(Purpose.DATA, samples, 1)
    shard = Shard(
        inputs.reshape(rows, samples, features),
        np.asarray(streams.uniform(Purpose.DATA, samples, 2) < 0.5, np.float64),
        weights / weights.sum(-1, keepdims=True),
        (streams.bits(Purpose.AXES, model.axes) % np.uint64(3)).astype(np.int8),
        streams,
    )
    return model.initial(streams) + 0.1, shard


def gradient(model: Layered, loss: str = "mse", by: Engine | None = None) -> GradientSum:
    return (by or engine()).prepare(model, loss, 2).gradient(*draw(model))


def test_prediction_equals_that_of_its_layers_computed_by_qiskit() -> None:
    model = hybrid()
    parameters, shard = draw(model, rows=1)
    first, middle, last = parameters[0, :8].reshape(4, 2), parameters[0, 8:20], parameters[0, 20:]
    drawing = Circuit.parse({**CIRCUIT, "observables": [], "observable": "Z0"}).draw(2)
    symbols = [*(symbol for layer in drawing.layers for symbol in layer), *drawing.inputs]
    for sample in range(3):
        fed = np.tanh(np.append(shard.inputs[0, sample], 1.0) @ first)
        bound = drawing.circuit.assign_parameters(dict(zip(symbols, [*middle, *fed], strict=True)))
        state = Statevector(bound)
        values = [state.expectation_value(SparsePauliOp("IIZ")).real]
        values.append(state.expectation_value(SparsePauliOp(["IZI", "XII"], [0.5, -0.5])).real)
        found = engine().prepare(model, "mse", 2).predict(parameters, shard.inputs, shard.axes)[0, sample]
        assert found == pytest.approx(np.append(values, 1.0) @ last, abs=ROUNDING)


@pytest.mark.parametrize("encoding", ["angle", "iqp", "zz"])
@pytest.mark.parametrize("ansatz", ["hardware-efficient", "random-pauli"])
def test_gradient_agrees_with_differences_of_the_loss(encoding: str, ansatz: str) -> None:
    model = hybrid(
        {"kind": "dense", "units": 2, "activation": "sigmoid"},
        {**CIRCUIT, "encoding": encoding, "ansatz": ansatz, "reupload": 2},
        {"kind": "circuit", "qubits": 2, "layers": 1, "observable": "X1"},
    )
    ready, (parameters, shard) = engine().prepare(model, "mse", 2), draw(model)
    total, step = ready.gradient(parameters, shard), 1e-5
    for k in range(model.parameters):
        shift = np.zeros(model.parameters)
        shift[k] = step
        above, below = (ready.gradient(parameters + by, shard).loss for by in (shift, -shift))
        # central differences: h² and 1e-16/h are both 1e-10; the loss's third derivatives are near 10
        np.testing.assert_allclose(total.gradient[:, k], (above - below) / (2 * step), rtol=0.0, atol=1e-8)


@pytest.mark.parametrize("name", ENGINES)
def test_engines_agree(name: str) -> None:
    model = hybrid()
    found = gradient(model, by=engine(**ENGINES[name]))
    expected = gradient(model)
    # central differences of step 1e-5 as above; rounding alone for all others
    tolerance = 1e-8 if name == "finite differences" else ROUNDING
    for field in ("loss", "gradient", "moments.square"):
        np.testing.assert_allclose(
            arrays(found)[field], arrays(expected)[field], rtol=0.0, atol=tolerance, err_msg=field
        )


def test_spsa_averages_to_the_gradient() -> None:
    model = hybrid()
    found = gradient(model, by=engine("spsa", directions=4000, step=1e-3)).gradient
    expected = gradient(model).gradient
    # the spread of a component over directions is the norm of the others; five standard errors
    error = 5.0 * np.linalg.norm(expected, axis=-1, keepdims=True) / np.sqrt(4000)
    assert (np.abs(found - expected) < error).all()


def test_second_moment_is_that_of_the_per_sample_gradients() -> None:
    model = hybrid()
    ready, (parameters, shard) = engine().prepare(model, "mse", 2), draw(model)
    square = np.zeros(parameters.shape)
    for i in range(3):
        one = replace(
            shard,
            inputs=shard.inputs[:, [i]],
            targets=shard.targets[:, [i]],
            weights=np.ones((2, 1)),
        )
        square += shard.weights[:, [i]] * ready.gradient(parameters, one).gradient ** 2
    found = arrays(ready.gradient(parameters, shard))["moments.square"]
    np.testing.assert_allclose(found, square, rtol=1e-12)


def test_groups_are_named_by_layer_and_numbered_by_depth() -> None:
    model = hybrid()
    assert [(group.name, group.stop - group.start, group.depth) for group in model.groups] == [
        ("dense0.weight", 6, 0),
        ("dense0.bias", 2, 0),
        ("circuit1.layer0", 6, 1),
        ("circuit1.layer1", 6, 2),
        ("dense2.weight", 2, 3),
        ("dense2.bias", 1, 3),
    ]
    assert [(group.name, group.start, group.stop, group.depth) for group in model.signals] == [
        ("dense0.signal", 0, 2, 0),
        ("circuit1.signal", 2, 4, 2),
        ("dense2.signal", 4, 5, 3),
    ]


def test_signals_are_the_derivatives_of_the_loss_by_the_layers_outputs() -> None:
    model = hybrid()
    total, (parameters, shard) = gradient(model), draw(model)
    # a bias shifts the layer's output, so its gradient is the signal
    assert total.signals is not None
    signal, square = total.signals.signal, total.signals.square
    np.testing.assert_allclose(signal[:, :2], total.gradient[:, 6:8], rtol=1e-12)
    np.testing.assert_allclose(signal[:, 4], total.gradient[:, 22], rtol=1e-12)
    np.testing.assert_allclose(signal[:, 2:4], signal[:, [4]] * parameters[:, 20:22], rtol=1e-12)
    assert (square >= signal**2 - 1e-15).all()
    assert shard.weights.sum(-1) == pytest.approx(1.0)


def test_parameters_that_affect_dead_inputs_of_a_circuit_are_dead() -> None:
    model = hybrid(LAYERS[0], {"kind": "circuit", "qubits": 2, "layers": 1, "observable": "Z0"})
    total = gradient(model)
    # the second unit turns a qubit outside the light cone of Z0; in the circuit only RY on the first is live
    assert model.dead.tolist() == [False, True] * 4 + [False, True, True, True]
    assert not total.gradient[:, model.dead].any()
    assert total.gradient[:, ~model.dead].all()


@pytest.mark.parametrize("encoding", ["iqp", "zz"])
def test_parameter_shift_goes_through_computed_angles(encoding: str) -> None:
    model = hybrid(LAYERS[0], {**CIRCUIT, "encoding": encoding, "reupload": 2}, LAYERS[2])
    found, expected = gradient(model, by=engine("parameter-shift")), gradient(model)
    for field in ("loss", "gradient", "moments.square"):
        np.testing.assert_allclose(arrays(found)[field], arrays(expected)[field], rtol=0.0, atol=ROUNDING)


@pytest.mark.parametrize(
    "noise", [{"amplitude_damping": 0.3}, {"depolarizing": 0.1}, {"processor": "FakeManilaV2"}]
)
def test_engines_agree_under_noise_which_makes_dead_parameters_matter(noise: dict[str, Any]) -> None:
    layers = [
        {"kind": "dense", "units": 2},
        {"kind": "circuit", "qubits": 2, "layers": 1, "observable": "Z0 Z1"},
        {"kind": "dense", "activation": "tanh"},
    ]
    model = hybrid(*layers)
    backend = {"kind": "aer", "method": "density_matrix", "noise": noise}
    expected = gradient(model, by=engine("parameter-shift", backend=backend)).gradient
    found = gradient(model, by=engine("finite-difference", backend=backend, step=1e-4)).gradient
    # central differences: h² = 1e-8; rounding 1e-15/h and what Aer trims of its channels, 1e-10/h, are 1e-6
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=2e-6)
    average = gradient(model, by=engine("spsa", backend=backend, directions=300, step=1e-3)).gradient
    # the spread of a component over directions is the norm of the others; five standard errors
    error = 5.0 * np.linalg.norm(expected, axis=-1, keepdims=True) / np.sqrt(300)
    assert (np.abs(average - expected) < error).all()


def test_executions_are_those_of_the_engine() -> None:
    model = hybrid()
    rotations = 12 + 2 - 2  # trained ones and inputs, without RZ before Z0 and Z1
    trained = 8 + (12 - 2) + 3
    for name, count in [
        ("adjoint", 1),
        ("parameter-shift", 1 + 2 * rotations),
        ("finite-difference", 1 + 2 * trained),
        ("spsa", 3),
    ]:
        assert gradient(model, by=engine(name)).cost.executions.tolist() == [3.0 * count] * 2


def test_hybrid_of_dense_layers_is_a_network() -> None:
    layers = [{"kind": "dense", "units": 5, "activation": "relu"}, {"kind": "dense", "activation": "softmax"}]
    network = Mlp.parse({"kind": "mlp", "hidden": [5], "output": "softmax"}).build(3, 2)
    by = engine("backprop")
    total, expected = (gradient(model, "cross-entropy", by) for model in (hybrid(*layers), network))
    assert_same_bits(total, expected)


def test_linear_readout_is_a_dense_layer_after_the_circuit() -> None:
    model = Circuit.parse({**CIRCUIT, "readout": "linear"}).build(3, 2)
    assert isinstance(model, Layered)
    assert [group.name for group in model.groups][-2:] == ["readout.weight", "readout.bias"]
    total, expected = gradient(model), gradient(hybrid(CIRCUIT, {"kind": "dense"}))
    np.testing.assert_array_equal(total.gradient, expected.gradient)


def test_row_has_the_same_bits_alone_and_in_any_pack() -> None:
    model = hybrid()
    ready, (parameters, shard) = engine().prepare(model, "mse", 2), draw(model, rows=7, samples=5)
    total = ready.gradient(parameters, shard)
    for row in range(7):
        own = slice(row, row + 1)
        alone = Shard(shard.inputs[own], shard.targets[own], shard.weights[own], shard.axes[own])
        assert_same_bits(ready.gradient(parameters[own], alone), rows_of(total, own))


def test_certificate_covers_every_circuit() -> None:
    deviation = engine().certify(hybrid(), 0)
    assert deviation is not None
    assert deviation < 1e-12
    assert engine("backprop").certify(hybrid({"kind": "dense"}), 0) is None


@pytest.mark.parametrize("wrong", [0, 2])
def test_certificate_fails_whichever_circuit_was_misread(wrong: int) -> None:
    model = hybrid(CIRCUIT, {"kind": "dense", "units": 2}, CIRCUIT, {"kind": "dense"})
    stages = list(model.stages)
    name, stage = stages[wrong]
    assert isinstance(stage, Quantum)
    gates = stage.program.gates.copy()
    gates["scale"][gates["parameter"] == 0] = 1.001
    stages[wrong] = name, replace(stage, program=replace(stage.program, gates=gates))
    with pytest.raises(CertificateError, match="E_0 is"):
        engine().certify(replace(model, stages=tuple(stages)), 0)


@pytest.mark.parametrize(
    ("layers", "path", "message"),
    [
        ([{"kind": "dense"}, LAYERS[2]], "model.layers.0.units", "is missing"),
        (
            [{"kind": "dense", "units": 2, "activation": "softmax"}, LAYERS[2]],
            "model.layers.0.activation",
            "is softmax, legal in the last",
        ),
        ([{**CIRCUIT, "readout": "softmax"}, LAYERS[2]], "model.layers.0.readout", "legal in the last layer"),
        ([{**CIRCUIT, "readout": "linear"}], "model.layers.0.readout", "add a layer {kind: dense}"),
        ([{"kind": "dense", "units": 5}, CIRCUIT, LAYERS[2]], "model.layers.1.qubits", "is 3, but encoding"),
        ([LAYERS[0], CIRCUIT], "model.layers.1.readout", "is missing, but there are 2 observables"),
        ([{**CIRCUIT, "observables": ["Z7"]}, LAYERS[2]], "model.layers.0.observables.0", "names qubit 7"),
    ],
)
def test_faults_name_the_layer(layers: list[dict[str, Any]], path: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        hybrid(*layers)
    (fault,) = caught.value.faults
    assert fault.path == path
    assert message in fault.message


def test_layers_are_dense_or_circuits() -> None:
    with pytest.raises(ConfigError, match="mlp"):
        hybrid({"kind": "mlp"})
    assert "kind=dense" not in discover(Model)


def test_hybrid_needs_data_and_an_engine_for_circuits() -> None:
    with pytest.raises(InputError, match="hybrid needs data"):
        hybrid(features=0)
    with pytest.raises(InputError, match="differentiates networks only"):
        engine("backprop").prepare(hybrid(), "mse", 2)
    with pytest.raises(InputError, match="leave shots out"):
        engine("parameter-shift", backend={"kind": "batched", "shots": 10}).prepare(hybrid(), "mse", 2)
