"""Circuits by name: ansätze, encodings and observables, against Qiskit's own and published figures."""

import math

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.library import (
    efficient_su2,
    n_local,
    pauli_feature_map,
    pauli_two_design,
    qaoa_ansatz,
    zz_feature_map,
)
from qiskit.quantum_info import SparsePauliOp, Statevector

from orchestrator.backends.batched.differentiator import BatchedProgram
from orchestrator.config.base import ConfigError, FrozenDict
from orchestrator.engines.adjoint import Adjoint
from orchestrator.errors import InputError
from orchestrator.models.circuits.ansatz import ANSATZE
from orchestrator.models.circuits.circuit import Circuit
from orchestrator.models.circuits.encoding import ENCODINGS
from orchestrator.models.circuits.gates import NONE
from orchestrator.models.circuits.program import Program
from orchestrator.streams import Purpose, Streams

ROUNDING = 1e-13
"""Between two simulations of a few dozen gates: some hundred roundings of 1e-16."""


def circuit(qubits: int = 3, layers: int = 2, **others: object) -> Circuit:
    return Circuit.parse({"kind": "circuit", "qubits": qubits, "layers": layers, **others})


def expectation(program: Program, parameters: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """E [R, B]."""
    axes = np.zeros((len(parameters), 0), np.int8)
    return BatchedProgram(program).expectation(parameters, inputs, axes)[..., 0]


def derivatives(program: Program, parameters: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """dE/dθ [R, B, P]."""
    axes = np.zeros((len(parameters), program.axes), np.int8)
    parts = BatchedProgram(program).parts(parameters, inputs, axes)
    return np.concatenate([part.derivative for part in parts]).reshape(*inputs.shape[:2], -1)


def angles(program: Program, rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.0, 2.0 * math.pi, (rows, program.parameters))


def no_data(rows: int) -> np.ndarray:
    return np.zeros((rows, 1, 0))


# Ansätze.


@pytest.mark.parametrize(
    ("options", "own"),
    [
        ({"ansatz": "two-local", "rotations": ["ry", "rz"]}, n_local(3, ["ry", "rz"], "cx", "full", 2)),
        (
            {"ansatz": "two-local", "rotations": ["h", "rx"], "entangler": "crz", "entanglement": "sca"},
            n_local(3, ["h", "rx"], "crz", "sca", 2),
        ),
        ({"ansatz": "efficient-su2", "entanglement": "pairwise"}, efficient_su2(3, None, "pairwise", 2)),
        ({"ansatz": "pauli-two-design", "ansatz_seed": 5}, pauli_two_design(3, 2, seed=5)),
    ],
    ids=lambda value: value["ansatz"] if isinstance(value, dict) else "",
)
def test_library_ansatz_is_qiskits_with_its_parameters_in_qiskits_order(options: dict, own: QuantumCircuit):
    program = circuit(observable="XYZ", **options).build(0, 0)
    parameters = angles(program, 1)
    expected = Statevector(own.assign_parameters(parameters[0])).expectation_value(SparsePauliOp("XYZ"))
    value = expectation(program, parameters, no_data(1))[0, 0]
    assert value == pytest.approx(expected.real, abs=ROUNDING)


def test_qaoa_takes_the_observable_as_its_cost_and_a_layer_is_gamma_and_beta():
    cost = {"Z0 Z1": 1.0, "Z1 Z2": 0.5, "X0": -0.3}
    program = circuit(ansatz="qaoa", observable=cost).build(0, 0)
    operator = SparsePauliOp(["IZZ", "ZZI", "IIX"], [1.0, 0.5, -0.3])
    parameters = angles(program, 1)
    gamma, beta = parameters[0, ::2], parameters[0, 1::2]
    own = qaoa_ansatz(operator, 2).assign_parameters([*beta, *gamma])
    expected = Statevector(own).expectation_value(operator).real
    assert expectation(program, parameters, no_data(1))[0, 0] == pytest.approx(expected, abs=ROUNDING)
    assert [group.stop - group.start for group in program.groups] == [2, 2]


def test_groups_of_a_two_local_circuit_hold_the_entanglers_parameters_too():
    program = circuit(
        ansatz="two-local", rotations=["ry", "h"], entangler="rzz", entanglement="linear"
    ).build(0, 0)
    assert [group.stop - group.start for group in program.groups] == [3 + 2, 3 + 2, 3]


def test_identity_blocks_start_as_the_identity():
    """E0 = <φ|O|φ> with φ = RY(π/4) on every qubit (Grant et al. 2019)."""
    program = circuit(4, 5, ansatz="identity-blocks", observable="Z0 X2").build(0, 0)
    start = program.initial(Streams(range(10), 0))
    value = expectation(program, start, no_data(10))
    np.testing.assert_allclose(value, math.cos(math.pi / 4) * math.sin(math.pi / 4), rtol=0.0, atol=ROUNDING)


def test_gradient_of_identity_blocks_at_the_start_does_not_fall_with_their_number():
    """All other blocks are the identity, so that a block's gradient is what it is alone."""
    alone, many = (
        circuit(4, layers, ansatz="identity-blocks", observable="Z0 Z1").build(0, 0) for layers in (1, 12)
    )
    start = many.initial(Streams(range(20), 0))
    block = alone.parameters
    every = derivatives(many, start, no_data(20)).reshape(20, 12, block)
    for index in range(12):
        own = derivatives(alone, start[:, index * block : (index + 1) * block], no_data(20))
        np.testing.assert_allclose(every[:, index], own[:, 0], rtol=0.0, atol=10 * ROUNDING)
    assert np.square(every).mean() > 1e-3


def test_twins_are_parameters_of_their_own():
    program = circuit(2, 1, ansatz="identity-blocks", block_layers=1, observable="XY").build(0, 0)
    jacobian = derivatives(program, angles(program, 1), no_data(1))[0, 0]
    assert program.twins == ((4, 0), (5, 1), (6, 2), (7, 3))
    # A block of one layer is RY RZ RZ RY on each qubit: the two RZ are one, with opposite signs.
    np.testing.assert_allclose(jacobian[2:4], -jacobian[6:8], rtol=0.0, atol=ROUNDING)
    assert not np.isclose(jacobian[:2], -jacobian[4:6]).any()


def test_first_twin_starts_with_the_value_of_the_second():
    program, streams = circuit(2, 1, ansatz="identity-blocks").build(0, 0), Streams([3], 0)
    drawn = 2.0 * math.pi * streams.uniform(Purpose.PARAMETERS, program.parameters)[0]
    start = program.initial(streams)[0]
    for twin, other in program.twins:
        assert start[twin] == start[other] == drawn[other]


def test_mirror_image_has_its_layers_in_reverse():
    program = circuit(1, 2, ansatz="identity-blocks").build(0, 0)
    assert program.twins == ((4, 2), (5, 3), (6, 0), (7, 1), (12, 10), (13, 11), (14, 8), (15, 9))
    assert len(program.groups) == 8


@pytest.mark.parametrize("name", sorted(ANSATZE))
def test_ansatz_is_drawn_alike_every_time(name: str):
    configuration = circuit(4, 2, ansatz=name)
    assert configuration.build(3, 2).gates.tobytes() == configuration.build(3, 2).gates.tobytes()


# Encodings.


def encoded(features: int, **options: object) -> Program:
    """An encoding alone, with all angles of the ansatz at zero, so that only its CX chain follows."""
    qubits = max(features, 2)
    return circuit(qubits, 1, observable="Y" + "X" * (qubits - 1), **options).build(features, 0)


def iqp_by_hand(features: int) -> QuantumCircuit:
    """diag exp(-i/2 (Σ x_q Z_q + Σ x_q x_r Z_q Z_r)) after H, from its definition."""
    from qiskit.circuit import ParameterVector

    drawn, x = QuantumCircuit(features), ParameterVector("x", features)
    drawn.h(range(features))
    for q in range(features):
        drawn.rz(x[q], q)
        for r in range(q):
            drawn.cx(q, r)
            drawn.rz(x[q] * x[r], r)
            drawn.cx(q, r)
    return drawn


@pytest.mark.parametrize(
    ("options", "own"),
    [
        ({"encoding": "zz"}, zz_feature_map(3)),
        (
            {"encoding": "zz", "encoding_repetitions": 1, "encoding_entanglement": "linear"},
            zz_feature_map(3, 1, "linear"),
        ),
        (
            {"encoding": "pauli", "encoding_paulis": ["X", "ZY", "ZZZ"]},
            pauli_feature_map(3, paulis=["X", "ZY", "ZZZ"]),
        ),
        ({"encoding": "iqp"}, iqp_by_hand(3)),
    ],
    ids=["zz", "zz-linear", "pauli", "iqp"],
)
def test_feature_map_agrees_with_qiskits_statevector(options: dict, own: QuantumCircuit):
    program = encoded(3, **options)
    inputs = np.random.default_rng(1).uniform(-2.0, 2.0, (2, 3, 3))
    value = expectation(program, np.zeros((2, program.parameters)), inputs)
    for row, sample in np.ndindex(2, 3):
        drawn = own.assign_parameters(inputs[row, sample])
        drawn.cx([0, 1], [1, 2])
        expected = Statevector(drawn).expectation_value(SparsePauliOp("YXX")).real
        assert value[row, sample] == pytest.approx(expected, abs=10 * ROUNDING)


def test_basis_encoding_prepares_the_bits():
    program = circuit(3, 1, encoding="basis", observable={"Z0": 1.0, "Z1": 10.0, "Z2": 100.0}).build(3, 2)
    bits = np.array(list(np.ndindex(2, 2, 2)), float)[None]
    value = expectation(program, np.zeros((1, program.parameters)), bits)
    first, second, third = (1 - 2 * (np.cumsum(bits, -1) % 2)).transpose(2, 0, 1)  # after the chain of CX
    np.testing.assert_allclose(value, first + 10 * second + 100 * third, atol=100 * ROUNDING)


@pytest.mark.parametrize("name", sorted(ENCODINGS))
@pytest.mark.parametrize("features", [1, 3])
def test_encoding_takes_fewer_features_than_qubits(name: str, features: int):
    program = circuit(4, 1, encoding=name).build(features, 2)
    assert program.inputs == features
    assert Adjoint(engine="adjoint").certify(program, 0) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("reupload", "uploads"), [(False, 1), (1, 1), (2, 2), (True, 3)])
@pytest.mark.parametrize("ansatz", ["hardware-efficient", "efficient-su2"])
def test_reupload_puts_the_encoding_before_the_first_layers(reupload: object, uploads: int, ansatz: str):
    gates = circuit(2, 3, ansatz=ansatz, reupload=reupload).build(2, 2).gates
    used = gates["input"] != NONE
    assert np.count_nonzero(used) == 2 * uploads
    starts = np.flatnonzero(used & (gates["input"] == 0))
    layers = [gates["parameter"][start:][gates["parameter"][start:] != NONE][0] // 4 for start in starts]
    assert layers == list(range(uploads))


# Observables.


def test_sum_of_pauli_strings_agrees_with_qiskit():
    weights = {"Z0": 0.5, "X0 Y2": -0.25, "ZZZ": 1, "I": 0.125, "zero-projector": 2.0}
    program = circuit(ansatz="efficient-su2", observable=weights).build(0, 0)
    parameters = angles(program, 3)
    operator = SparsePauliOp(["IIZ", "YIX", "ZZZ", "III"], [0.5, -0.25, 1.0, 0.125])
    for row, value in zip(parameters, expectation(program, parameters, no_data(3))[:, 0], strict=True):
        state = Statevector(program.redraw().circuit.assign_parameters(row))
        expected = state.expectation_value(operator).real + 2.0 * abs(state[0]) ** 2
        assert value == pytest.approx(expected, abs=ROUNDING)


def test_zero_projector_of_a_product_circuit_is_a_product_of_cosines():
    """On 16 qubits, where its 65,536 Pauli strings would be slow."""
    program = circuit(
        16, 1, ansatz="two-local", rotations=["rx"], entangler="cz", observable="zero-projector"
    ).build(0, 0)
    parameters = np.zeros((2, 32))
    parameters[:, :16] = np.random.default_rng(0).uniform(0.0, 1.0, (2, 16))
    halves = parameters[:, :16] / 2
    product = np.prod(np.cos(halves) ** 2, axis=1)
    axes = np.zeros((2, 0), np.int8)
    (part,) = BatchedProgram(program).parts(parameters, no_data(2), axes)
    np.testing.assert_allclose(part.expectation[:, 0], product, rtol=1e-13)
    np.testing.assert_allclose(part.derivative[:, :16], -product[:, None] * np.tan(halves), rtol=1e-11)


@pytest.mark.parametrize(
    "observable", ["zero-projector", {"I": 1, "zero-projector": -1}, {"Z0": 0.5, "XYZ": 1}]
)
def test_certificate_holds_for_sums_and_projectors(observable: object):
    program = circuit(3, 2, encoding="zz", reupload=True, observable=observable).build(2, 2)
    assert Adjoint(engine="adjoint").certify(program, 1) == pytest.approx(0.0, abs=1e-12)


def test_rotations_about_z_at_the_end_are_dead_under_the_projector():
    dead = circuit(3, 2, observable="zero-projector").build(0, 0).dead
    assert dead.tolist() == [False] * 9 + [True] * 3


@pytest.mark.parametrize(
    ("observable", "fragment"),
    [
        ({}, "names no Pauli string"),
        ({"Z0": "1"}, '"Z0" has coefficient "1", must be a finite number'),
        ({"Z0": math.inf}, "must be a finite number"),
        ({"Z0": True}, "must be a finite number"),
        ({"Z0": 1.0, "Q": 1.0}, '"Q" is not a Pauli string'),
        ({"I": 2.0}, "is a constant"),
        ({"Z0": 0.0}, "is a constant"),
        ("III", "is a constant"),
        ("zero", "is not a Pauli string"),
    ],
)
def test_observable_without_meaning_is_refused(observable: object, fragment: str):
    with pytest.raises(InputError) as error:
        circuit(observable=observable).build(0, 0)
    (fault,) = error.value.faults
    assert fault.path == "model.observable"
    assert fragment in fault.message


@pytest.mark.parametrize("observable", [3, ["Z0"]])
def test_observable_is_text_or_a_mapping(observable: object):
    with pytest.raises(ConfigError, match="must be text or a mapping"):
        circuit(observable=observable)


# The configuration.


def test_option_of_another_ansatz_or_encoding_is_refused_with_its_owners():
    wrong = circuit(3, 2, rotations=["ry"], ansatz_seed=1, encoding_paulis=["Z"], reupload=3)
    with pytest.raises(InputError) as error:
        wrong.build(4, 2)
    assert {fault.path: fault.message for fault in error.value.faults} == {
        "model.rotations": "is not an option of ansatz: hardware-efficient (legal with: two-local)",
        "model.ansatz_seed": "is not an option of ansatz: hardware-efficient (legal with: pauli-two-design)",
        "model.encoding_paulis": "is not an option of encoding: angle (legal with: pauli)",
        "model.reupload": "is 3, more than the 2 layers",
        "model.qubits": "is 3, but encoding: angle needs a qubit for each of the 4 features; "
        "use at least 4 qubits, or at most 3 features",
    }


def test_pauli_string_longer_than_the_features_is_refused():
    with pytest.raises(InputError, match=r"encoding_paulis: has ZZZ, longer than the 2 feature"):
        circuit(encoding="pauli", encoding_paulis=["Z", "ZZZ"]).build(2, 2)


def test_pauli_string_longer_than_pairs_is_refused():
    wrong = circuit(encoding="pauli", encoding_paulis=["ZZZ"], encoding_entanglement="pairwise")
    with pytest.raises(InputError, match=r"encoding_paulis: has ZZZ, longer than the pairs"):
        wrong.build(3, 2)


def test_projector_is_no_cost_of_qaoa():
    with pytest.raises(InputError, match=r"observable: must be one sum of Pauli strings: it is the cost"):
        circuit(ansatz="qaoa", observable="zero-projector").build(0, 0)


def test_constant_term_of_a_cost_adds_to_the_value_alone():
    programs = [
        circuit(ansatz="qaoa", observable={"Z0 Z1": 1.0, "X2": 0.5, **more}).build(0, 0)
        for more in ({}, {"I": 3.0})
    ]
    parameters = angles(programs[0], 2)
    without, with_constant = (expectation(program, parameters, no_data(2)) for program in programs)
    np.testing.assert_allclose(with_constant, without + 3.0, rtol=0.0, atol=ROUNDING)


@pytest.mark.parametrize(
    "options", [{"rotations": ["h"]}, {"encoding_paulis": ["Q"]}, {"encoding_paulis": [""]}, {"reupload": 0}]
)
def test_option_that_means_nothing_is_refused(options: dict):
    with pytest.raises(ConfigError):
        circuit(**options)


def test_identity_of_what_was_legal_before_has_not_changed():
    assert circuit(observable="Z0", ansatz="real-amplitudes").identity() == {
        "kind": "circuit",
        "qubits": 3,
        "layers": 2,
        "ansatz": "real-amplitudes",
        "observable": "Z0",
    }


def test_configuration_with_a_mapping_is_hashed_and_compared_by_its_content():
    one, other = circuit(observable={"Z0": 1, "Z1": 2}), circuit(observable={"Z1": 2, "Z0": 1})
    assert one == other
    assert hash(one) == hash(other)
    assert FrozenDict(a=1) != FrozenDict(a=True)


# Published variances.


def variance(squares: np.ndarray) -> tuple[float, float]:
    """Mean of g² and its standard error; the mean of g is 0."""
    return float(squares.mean()), float(squares.std() / math.sqrt(squares.size))


def product_circuit(qubits: int, observable: object) -> Program:
    """RX(θ_j) on every qubit: the second layer of rotations stays at 0, where the CZ change nothing."""
    return circuit(
        qubits, 1, ansatz="two-local", rotations=["rx"], entangler="cz", observable=observable
    ).build(0, 0)


def first_gradients(program: Program, rows: int) -> np.ndarray:
    parameters = angles(program, rows)
    parameters[:, program.groups[1].start :] = 0.0
    return derivatives(program, parameters, no_data(rows))[:, 0, 0]


@pytest.mark.parametrize("qubits", [2, 4, 6])
def test_global_cost_of_a_product_circuit_varies_as_cerezo_et_al_found(qubits: int):
    """Var = (1/8)(3/8)^(n-1) (arXiv 2001.00550)."""
    program = product_circuit(qubits, {"I": 1, "zero-projector": -1})
    found, error = variance(first_gradients(program, 20_000) ** 2)
    assert abs(found - (3 / 8) ** (qubits - 1) / 8) < 5 * error


@pytest.mark.parametrize("qubits", [2, 4, 6])
def test_local_cost_of_a_product_circuit_varies_as_cerezo_et_al_found(qubits: int):
    """Var = 1/(8n²) for 1 - (1/n) Σ cos²(θ_j/2)."""
    weights = {f"Z{qubit}": -0.5 / qubits for qubit in range(qubits)}
    found, error = variance(first_gradients(product_circuit(qubits, {"I": 0.5, **weights}), 5_000) ** 2)
    assert abs(found - 1 / (8 * qubits**2)) < 5 * error
