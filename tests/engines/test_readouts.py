"""Several observables of a circuit, and their readouts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp, Statevector
from sums import arrays, assert_same_bits, rows_of

from orchestrator.backends.batched.differentiator import WIDE_QUBITS, BatchedProgram
from orchestrator.config.base import ConfigError
from orchestrator.config.families import discover
from orchestrator.engines.base import Engine
from orchestrator.engines.gradient import GradientSum, Shard
from orchestrator.errors import CertificateError, InputError
from orchestrator.models.circuits.circuit import Circuit
from orchestrator.models.circuits.program import Program
from orchestrator.models.layered import Layered
from orchestrator.streams import Purpose, Streams

ROUNDING = 1e-10
THREE: list[Any] = ["Z0", {"X1": 0.5, "Y0 Z2": -0.25, "I": 0.125}, {"Z2": 0.5, "zero-projector": 2.0}]
STRINGS = [*THREE[:2], "X2"]
AER = {"kind": "aer"}


def circuit(
    observables: list[Any], readout: str | None = "softmax", qubits: int = 3, **others: Any
) -> Program:
    configuration = {"kind": "circuit", "qubits": qubits, "layers": 2, "observables": observables, **others}
    if readout is not None:
        configuration["readout"] = readout
    program = Circuit.parse(configuration).build(2, 3)
    assert not isinstance(program, Layered)
    return program


def engine(engine: str = "adjoint", **options: Any) -> Engine:
    return discover(Engine)[f"engine={engine}"].parse({"engine": engine, **options})


def draw(program: Program, rows: int = 2, samples: int = 3, seed: int = 0) -> tuple[Any, Shard]:
    """Random parameters and a shard of three classes with uneven weights."""
    streams = Streams(np.arange(rows) + seed, 0)
    inputs = np.pi * streams.uniform(Purpose.DATA, samples * 2).reshape(rows, samples, 2)
    targets = np.floor(3.0 * streams.uniform(Purpose.DATA, samples, 2))
    weights = 0.5 + streams.uniform(Purpose.DATA, samples, 1)
    axes = np.zeros((rows, 0), np.int8)
    shard = Shard(inputs, targets, weights / weights.sum(-1, keepdims=True), axes, streams)
    return program.initial(streams), shard


def gradient(program: Program, by: Engine, loss: str = "cross-entropy") -> GradientSum:
    return by.prepare(program, loss, 3).gradient(*draw(program))


@pytest.mark.parametrize("qubits", [3, WIDE_QUBITS])
def test_expectations_are_those_of_qiskit(qubits: int) -> None:
    program = circuit(THREE, qubits=qubits)
    parameters, shard = draw(program, 1, 2)
    found = BatchedProgram(program).expectation(parameters, shard.inputs, shard.axes)
    drawing = program.redraw()
    symbols = [*(symbol for layer in drawing.layers for symbol in layer), *drawing.inputs]
    for sample in range(2):
        values = [*parameters[0], *shard.inputs[0, sample]]
        state = Statevector(drawing.circuit.assign_parameters(dict(zip(symbols, values, strict=True))))
        operators = [
            SparsePauliOp.from_sparse_list(terms, qubits)
            for terms in (
                [("Z", [0], 1.0)],
                [("X", [1], 0.5), ("YZ", [0, 2], -0.25), ("", [], 0.125)],
                [("Z", [2], 0.5)],
            )
        ]
        expected = np.array([state.expectation_value(operator).real for operator in operators])
        expected[2] += 2.0 * abs(state.data[0]) ** 2
        np.testing.assert_allclose(found[0, sample], expected, rtol=0.0, atol=ROUNDING)


@pytest.mark.parametrize("qubits", [3, WIDE_QUBITS])
def test_derivatives_of_a_weighted_sum_are_the_sum_of_derivatives(qubits: int) -> None:
    program = circuit(THREE, qubits=qubits)
    parameters, shard = draw(program, 2, 3 if qubits == 3 else 1)
    cotangents = np.random.default_rng(0).normal(size=(*shard.weights.shape, 3))
    (together,) = BatchedProgram(program).parts(parameters, shard.inputs, shard.axes, cotangents)
    total = np.zeros_like(together.derivative)
    for k in range(3):
        alone = circuit([THREE[k]], "mean", qubits=qubits)
        (part,) = BatchedProgram(alone).parts(parameters, shard.inputs, shard.axes)
        total += cotangents.reshape(-1, 3)[:, [k]] * part.derivative
        np.testing.assert_allclose(
            part.expectation[:, 0], together.expectation[:, k], rtol=0.0, atol=ROUNDING
        )
    np.testing.assert_allclose(together.derivative, total, rtol=0.0, atol=ROUNDING)


@pytest.mark.parametrize("loss", ["cross-entropy", "mse"])
def test_gradient_agrees_with_differences_of_the_loss(loss: str) -> None:
    program = circuit(THREE)
    ready, (parameters, shard), step = engine().prepare(program, loss, 3), draw(program), 1e-5
    total = ready.gradient(parameters, shard)
    for k in range(program.parameters):
        moved = np.zeros(program.parameters)
        moved[k] = step
        above, below = (ready.gradient(parameters + by, shard).loss for by in (moved, -moved))
        # central differences: h² and 1e-16/h are both 1e-10; the loss's third derivatives are near 10
        np.testing.assert_allclose(total.gradient[:, k], (above - below) / (2 * step), rtol=0.0, atol=1e-8)


@pytest.mark.parametrize(
    "by",
    [
        engine(backend=AER),
        engine("parameter-shift"),
        engine("parameter-shift", backend=AER),
        engine("parameter-shift", backend={**AER, "method": "density_matrix"}),
    ],
    ids=["adjoint on Aer", "parameter shift", "parameter shift on Aer", "density matrices"],
)
@pytest.mark.parametrize("loss", ["cross-entropy", "mse"])
def test_engines_agree(by: Engine, loss: str) -> None:
    program = circuit(THREE)
    found, expected = gradient(program, by, loss), gradient(program, engine(), loss)
    for field in ("loss", "gradient", "moments.square"):
        np.testing.assert_allclose(arrays(found)[field], arrays(expected)[field], rtol=0.0, atol=ROUNDING)


def test_finite_differences_and_spsa_agree() -> None:
    program = circuit(THREE)
    expected = gradient(program, engine()).gradient
    # central differences of step 1e-5, as above
    np.testing.assert_allclose(
        gradient(program, engine("finite-difference")).gradient, expected, rtol=0.0, atol=1e-8
    )
    found = gradient(program, engine("spsa", directions=4000, step=1e-3)).gradient
    # the spread of a component over directions is the norm of the others; five standard errors
    error = 5.0 * np.linalg.norm(expected, axis=-1, keepdims=True) / np.sqrt(4000)
    assert (np.abs(found - expected) < error).all()


@pytest.mark.parametrize("loss", ["cross-entropy", "mse"])
def test_variance_of_shots_is_that_of_repetitions(loss: str) -> None:
    """After a softmax the variance is of first order, so the test takes many shots."""
    program, shots, repetitions = circuit(STRINGS), 20_000, 2000
    by = engine("parameter-shift", backend={"kind": "batched", "shots": shots})
    parameters, shard = draw(program, 1, 1)
    many = Shard(
        *(np.repeat(a, repetitions, 0) for a in (shard.inputs, shard.targets, shard.weights, shard.axes)),
        Streams(np.arange(repetitions), 0),
    )
    total = by.prepare(program, loss, 3).gradient(np.repeat(parameters, repetitions, 0), many)
    exact = engine().prepare(program, loss, 3).gradient(parameters, shard)
    deviation = total.gradient - exact.gradient
    found, predicted = np.square(deviation).mean(0), total.noise.gradient.mean(0)
    live = predicted > 0.0
    # a variance of N normal numbers has relative error sqrt(2/N): five times this, and terms of order 1/shots
    np.testing.assert_allclose(found[live], predicted[live], rtol=5.0 * np.sqrt(2.0 / repetitions) + 0.02)
    bias = np.abs(deviation.mean(0)[live]) / np.sqrt(predicted[live] / repetitions)
    assert bias.max() < 5.0  # of order 1/shots, below a tenth of the standard error
    assert not deviation[:, ~live].any()
    of_loss = np.square(total.loss - exact.loss).mean(), total.noise.loss.mean()
    np.testing.assert_allclose(*of_loss, rtol=5.0 * np.sqrt(2.0 / repetitions) + 0.02)
    assert total.cost.shots[0] == shots * total.cost.executions[0]
    assert by.biased(program, loss)


def test_mean_is_the_sum_with_equal_coefficients() -> None:
    one = circuit(["Z0", "X1", "Z0"], "mean")
    other = circuit([], None, observable={"Z0": 2.0 / 3.0, "X1": 1.0 / 3.0})
    for field in ("loss", "gradient"):
        np.testing.assert_allclose(
            getattr(gradient(one, engine(), "expectation"), field),
            getattr(gradient(other, engine(), "expectation"), field),
            rtol=0.0,
            atol=1e-14,
        )


@pytest.mark.parametrize(
    ("observables", "product"),
    [
        ([], {"Z0 Z1 Z2": 1.0}),
        (["Z0", "Z2"], {"Z0 Z2": 1.0}),
        (["X0 X1", "Z0 Z1"], {"Y0 Y1": -1.0}),
        ([{"Z0": 2.0, "Z1": 1.0}, "Z2"], {"Z0 Z2": 2.0, "Z1 Z2": 1.0}),
    ],
)
def test_parity_is_the_product(observables: list[Any], product: dict[str, float]) -> None:
    (observable,) = circuit(observables, "parity").observables
    (expected,) = circuit([], None, observable=product).observables
    assert sorted(observable.terms) == sorted(expected.terms)


@pytest.mark.parametrize("readout", ["softmax", "mean", "parity", "linear"])
def test_certificate_covers_all_observables(readout: str) -> None:
    model = Circuit.parse(
        {"kind": "circuit", "qubits": 3, "layers": 2, "observables": ["Z0", "Z1"], "readout": readout}
    ).build(2, 2)
    deviation = engine().certify(model, 0)
    assert deviation is not None
    assert deviation < 1e-12


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_certificate_fails_whichever_observable_was_read_wrong(wrong: int) -> None:
    program, observables = circuit(THREE), list(circuit(THREE).observables)
    (observables[wrong],) = circuit(["Y1 X2"], "mean").observables
    with pytest.raises(CertificateError, match=f"E_{wrong} is"):
        engine().certify(replace(program, observables=tuple(observables)), 0)


def test_row_has_the_same_bits_in_any_company() -> None:
    program = circuit(THREE)
    ready, (parameters, shard) = engine().prepare(program, "cross-entropy", 3), draw(program, 7, 5)
    total = ready.gradient(parameters, shard)
    for row in range(7):
        own = slice(row, row + 1)
        alone = Shard(shard.inputs[own], shard.targets[own], shard.weights[own], shard.axes[own])
        assert_same_bits(ready.gradient(parameters[own], alone), rows_of(total, own))


@pytest.mark.parametrize(
    ("observables", "options", "path", "message"),
    [
        (
            ["Z0", "Z1"],
            {"readout": None},
            "model.readout",
            "is missing, but there are 2 observables (legal: mean",
        ),
        (["Z0", "ZZ", "Q"], {}, "model.observables.1", "has 2 letters for 3 qubits"),
        (["Z0", "X0"], {"readout": "parity"}, "model.observables", "do not commute"),
        (["Z0", "zero-projector"], {"readout": "parity"}, "model.observables", "readout: parity cannot take"),
        (["Z0", "Z0"], {"readout": "parity"}, "model.observables", "come to a constant"),
        (["Z0", {"Z0": -1.0}], {"readout": "mean"}, "model.observables", "come to a constant"),
        (["Z0", "Z1"], {"ansatz": "qaoa"}, "model.observable", "must be one sum of Pauli strings"),
    ],
)
def test_faults_say_what_would_be_legal(
    observables: list[Any], options: dict[str, Any], path: str, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        circuit(observables, **{"readout": "softmax", **options})
    assert caught.value.faults[0].path == path
    assert message in caught.value.faults[0].message


def test_observable_and_observables_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="move the observable into this list"):
        circuit(["Z0"], observable="Z1")


def test_softmax_needs_an_observable_for_each_class() -> None:
    with pytest.raises(InputError, match=r"needs a prediction per class \(3\), the model gives 2"):
        engine().prepare(circuit(["Z0", "Z1"]), "cross-entropy", 3)
