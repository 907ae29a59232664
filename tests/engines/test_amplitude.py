"""Circuits that start from the data: ``encoding: amplitude``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp, Statevector
from sums import arrays

from orchestrator.backends.aer.backend import Aer
from orchestrator.backends.batched.differentiator import WIDE_QUBITS, BatchedProgram
from orchestrator.config.families import discover
from orchestrator.engines.base import Engine
from orchestrator.engines.gradient import Shard
from orchestrator.engines.metric import Metric
from orchestrator.errors import InputError
from orchestrator.models.circuits.circuit import Circuit
from orchestrator.models.circuits.program import Program
from orchestrator.models.hybrid import Hybrid
from orchestrator.models.layered import Layered
from orchestrator.streams import Purpose, Streams

ROUNDING = 1e-10
OBSERVABLE = {"Z0 X1": 0.5, "zero-projector": 0.5}
AER = {"kind": "aer"}


def circuit(qubits: int = 3, features: int = 5, **options: Any) -> Program:
    configuration = {
        "kind": "circuit",
        "qubits": qubits,
        "layers": 2,
        "encoding": "amplitude",
        "observable": OBSERVABLE,
        **options,
    }
    program = Circuit.parse(configuration).build(features, 2)
    assert not isinstance(program, Layered)
    return program


def engine(engine: str = "adjoint", **options: Any) -> Engine:
    return discover(Engine)[f"engine={engine}"].parse({"engine": engine, **options})


def draw(program: Program, rows: int = 2, samples: int = 3) -> tuple[Any, Shard]:
    """Random parameters and a shard of two classes; features of any sign and length."""
    streams = Streams(np.arange(rows), 0)
    inputs = 10.0 * streams.uniform(Purpose.DATA, samples * program.inputs) - 5.0
    shard = Shard(
        inputs.reshape(rows, samples, program.inputs),
        np.asarray(streams.uniform(Purpose.DATA, samples, 2) < 0.5, np.float64),
        np.full((rows, samples), 1.0 / samples),
        (streams.bits(Purpose.AXES, program.axes) % np.uint64(3)).astype(np.int8),
        streams,
    )
    return program.initial(streams), shard


@pytest.mark.parametrize(("qubits", "features"), [(3, 8), (3, 5), (1, 1), (WIDE_QUBITS, 20)])
def test_state_starts_from_the_normalised_features(qubits: int, features: int) -> None:
    program = circuit(qubits, features, observable="X0" if qubits == 1 else OBSERVABLE)
    parameters, shard = draw(program)
    found = BatchedProgram(program).expectation(parameters, shard.inputs, shard.axes)
    drawing = program.redraw()
    symbols = [symbol for layer in drawing.layers for symbol in layer]
    for row in range(2):
        ansatz = drawing.circuit.assign_parameters(dict(zip(symbols, parameters[row], strict=True)))
        for sample in range(3):
            start = np.zeros(2**qubits)
            start[:features] = shard.inputs[row, sample] / np.linalg.norm(shard.inputs[row, sample])
            state = Statevector(start).evolve(ansatz)
            if qubits == 1:
                expected = state.expectation_value(SparsePauliOp("X")).real
            else:
                zx = SparsePauliOp.from_sparse_list([("ZX", [0, 1], 0.5)], qubits)
                expected = state.expectation_value(zx).real + 0.5 * abs(state.data[0]) ** 2
            assert found[row, sample, 0] == pytest.approx(expected, abs=ROUNDING)


@pytest.mark.parametrize(
    "by",
    [
        engine(backend=AER),
        engine("parameter-shift"),
        engine("parameter-shift", backend=AER),
        engine("parameter-shift", backend={**AER, "method": "density_matrix"}),
        engine("parameter-shift", backend={**AER, "method": "matrix_product_state"}),
    ],
    ids=[
        "adjoint on Aer",
        "parameter shift",
        "parameter shift on Aer",
        "density matrices",
        "matrix products",
    ],
)
def test_engines_agree(by: Engine) -> None:
    observable = "X0 Z1" if "matrix" in str(by) else OBSERVABLE
    program = circuit(observable=observable)
    found, expected = (e.prepare(program, "mse", 2).gradient(*draw(program)) for e in (by, engine()))
    for field in ("loss", "gradient", "moments.square"):
        np.testing.assert_allclose(arrays(found)[field], arrays(expected)[field], rtol=0.0, atol=ROUNDING)


@pytest.mark.parametrize("ansatz", ["hardware-efficient", "random-pauli"])
@pytest.mark.parametrize("qubits", [3, WIDE_QUBITS])
def test_gradient_agrees_with_differences_of_the_loss(qubits: int, ansatz: str) -> None:
    program = circuit(qubits, ansatz=ansatz, layers=1)
    ready, (parameters, shard), step = engine().prepare(program, "mse", 2), draw(program, 1, 2), 1e-5
    total = ready.gradient(parameters, shard)
    for k in range(0, program.parameters, 1 if qubits == 3 else 5):
        moved = np.zeros(program.parameters)
        moved[k] = step
        above, below = (ready.gradient(parameters + by, shard).loss for by in (moved, -moved))
        # central differences: h² and 1e-16/h are both 1e-10; the loss's third derivatives are near 10
        np.testing.assert_allclose(total.gradient[:, k], (above - below) / (2 * step), rtol=0.0, atol=1e-8)


def test_metric_is_that_of_states_that_start_from_the_data() -> None:
    program = circuit()
    parameters, shard = draw(program, 1, 1)
    width = program.parameters
    found = Metric(program, ((0, width),)).weighted_sum(parameters, shard).reshape(width, width)
    drawing = program.redraw()
    symbols = [symbol for layer in drawing.layers for symbol in layer]
    start = np.zeros(8)
    start[:5] = shard.inputs[0, 0] / np.linalg.norm(shard.inputs[0, 0])

    def state(point: Any) -> Any:
        bound = drawing.circuit.assign_parameters(dict(zip(symbols, point, strict=True)))
        return Statevector(start).evolve(bound).data

    step, psi = 1e-5, state(parameters[0])
    tangents = np.stack(
        [(state(parameters[0] + by) - state(parameters[0] - by)) / (2 * step) for by in step * np.eye(width)]
    )
    across = tangents.conj() @ psi
    expected = (tangents.conj() @ tangents.T - np.outer(across, across.conj())).real
    # central differences: an error of h² = 1e-10
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-9)


def test_features_of_any_length_give_the_same_bits_as_their_direction() -> None:
    program = circuit()
    parameters, shard = draw(program)
    ready = engine().prepare(program, "mse", 2)
    doubled = ready.gradient(parameters, replace(shard, inputs=2.0**600 * shard.inputs))
    np.testing.assert_array_equal(doubled.gradient, ready.gradient(parameters, shard).gradient)


@pytest.mark.parametrize("backend", [{"kind": "batched"}, AER])
def test_features_that_are_all_zero_have_no_state(backend: dict[str, Any]) -> None:
    program = circuit()
    parameters, shard = draw(program)
    shard.inputs[0, 1] = 0.0
    for name in ("adjoint", "parameter-shift"):
        loss = engine(name, backend=backend).prepare(program, "mse", 2).gradient(parameters, shard).loss
        assert np.isfinite(loss).tolist() == [False, True]


def test_certificate_starts_from_the_data() -> None:
    deviation = engine().certify(circuit(), 0)
    assert deviation is not None
    assert deviation < 1e-12


@pytest.mark.parametrize(
    ("options", "path", "message"),
    [
        ({"features": 9}, "model.qubits", "is 3, but encoding: amplitude needs 4 for the 9 features"),
        ({"reupload": 2}, "model.reupload", "is not an option of encoding: amplitude"),
        (
            {"encoding_repetitions": 2},
            "model.encoding_repetitions",
            "is not an option of encoding: amplitude",
        ),
    ],
)
def test_faults(options: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        circuit(**options)
    (fault,) = caught.value.faults
    assert fault.path == path
    assert message in fault.message


def test_another_layer_cannot_feed_amplitudes() -> None:
    layers = [
        {"kind": "dense", "units": 2},
        {"kind": "circuit", "qubits": 1, "layers": 1, "encoding": "amplitude"},
    ]
    with pytest.raises(InputError, match=r"layers\.1\.encoding: is amplitude, which takes the data"):
        Hybrid.parse({"kind": "hybrid", "layers": layers}).build(3, 2)
    first = Hybrid.parse({"kind": "hybrid", "layers": [layers[1], layers[0] | {"units": 1}]}).build(2, 2)
    parameters = first.initial(Streams([0], 0))
    assert (
        engine().prepare(first, "mse", 2).predict(parameters, np.ones((1, 1, 2)), np.zeros((1, 0), np.int8))
    )


def test_processor_does_not_start_from_amplitudes() -> None:
    noise = {"processor": "FakeManilaV2"}
    backend = Aer.parse({**AER, "method": "density_matrix", "noise": noise})
    with pytest.raises(InputError, match="starts from"):
        backend.fits(circuit(observable="Z0"))
