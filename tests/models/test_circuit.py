"""Circuits: their configuration, how they are read, and which parameters are dead."""

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import RXGate
from qiskit.quantum_info import SparsePauliOp

from orchestrator.config.base import ConfigError
from orchestrator.errors import InputError
from orchestrator.models.base import Built
from orchestrator.models.circuits import lightcone
from orchestrator.models.circuits.ansatz import ANSATZE, Drawing
from orchestrator.models.circuits.circuit import Circuit
from orchestrator.models.circuits.gates import NONE, Observable, Opcode, RotationAxis, Term
from orchestrator.models.circuits.observable import Operator
from orchestrator.models.circuits.program import Program
from orchestrator.models.circuits.reading import read
from orchestrator.streams import Streams

THETA, PHI = Parameter("θ"), Parameter("φ")


def circuit(qubits: int = 4, layers: int = 3, **others: str) -> Circuit:
    return Circuit.parse({"kind": "circuit", "qubits": qubits, "layers": layers, **others})


def program_of(drawn: QuantumCircuit, observable: str = "ZZ") -> Program:
    """Reads a circuit of the parameters θ and φ."""
    symbols = tuple(symbol for symbol in (THETA, PHI) if symbol in drawn.parameters)
    drawing = Drawing(drawn, (Operator(SparsePauliOp(observable)),), (), (symbols,), 0)
    return read(lambda: drawing, "test")


def test_circuit_is_a_built_model_with_one_expectation_value():
    built: Built = circuit().build(4, 3)
    assert (built.head, built.outputs, built.signals, built.axes) == ("expectation", 1, (), 0)


def test_circuit_refuses_illegal_options():
    with pytest.raises(ConfigError):
        circuit(qubits=0)
    with pytest.raises(ConfigError):
        circuit(layers=0)
    with pytest.raises(ConfigError):
        circuit(ansatz="hardware")


def test_circuit_names_too_few_qubits_and_a_bad_observable_at_once():
    with pytest.raises(InputError) as error:
        circuit(observable="ZZ").build(5, 2)
    assert [fault.path for fault in error.value.faults] == ["model.qubits", "model.observable"]
    assert "each of the 5 features" in str(error.value)


@pytest.mark.parametrize("text", ["", " ", "ZZ", "zzzz", "ZZZA", "Z4", "Z0 Z0", "Z0Z1", "Z-1", "I0", "Z0 X"])
def test_observable_that_is_no_pauli_string_on_these_qubits_is_refused(text: str):
    with pytest.raises(InputError) as error:
        circuit(observable=text).build(0, 0)
    (fault,) = error.value.faults
    assert fault.path == "model.observable"
    assert "legal: 4 letters out of I, X, Y, Z" in fault.message


@pytest.mark.parametrize(
    ("text", "term"),
    [
        (None, Term(1.0, 0b0000, 0b1000)),
        ("ZIII", Term(1.0, 0b0000, 0b1000)),
        ("Z3", Term(1.0, 0b0000, 0b1000)),
        ("Z0 Z1", Term(1.0, 0b0000, 0b0011)),
        ("IXYZ", Term(1.0, 0b0110, 0b0011)),
        ("Z0 Y1 X2", Term(1.0, 0b0110, 0b0011)),
    ],
)
def test_observable_has_qubit_0_on_the_right(text: str | None, term: Term):
    assert Circuit(kind="circuit", qubits=4, layers=1, observable=text).build(0, 0).observables == (
        Observable((term,)),
    )


@pytest.mark.parametrize("ansatz", sorted(ANSATZE))
@pytest.mark.parametrize("qubits", [1, 2, 5])
def test_groups_cover_the_parameters_layer_by_layer(ansatz: str, qubits: int):
    built = circuit(qubits, 3, ansatz=ansatz).build(0, 0)
    assert [group.start for group in built.groups] == [0, *(group.stop for group in built.groups[:-1])]
    assert [group.name for group in built.groups] == [f"layer{k}" for k in range(len(built.groups))]
    assert [group.depth for group in built.groups] == list(range(len(built.groups)))
    count = {"hardware-efficient": 3, "random-pauli": 3, "qaoa": 3, "identity-blocks": 12}.get(ansatz, 4)
    assert len(built.groups) == count
    used = built.gates["parameter"]
    assert set(used[used != NONE].tolist()) == set(range(built.parameters))


def test_parameters_are_applied_in_their_order():
    for ansatz in ANSATZE:
        used = circuit(ansatz=ansatz).build(0, 0).gates["parameter"]
        first_uses = used[used != NONE]
        layers = [group.start for group in circuit(ansatz=ansatz).build(0, 0).groups]
        bounds = np.searchsorted(layers, first_uses, side="right")
        assert np.all(np.diff(bounds[np.argsort(first_uses)]) >= 0)


def test_angle_encoding_is_a_rotation_about_y_for_each_feature():
    gates = circuit().build(3, 2).gates
    encoding = gates[gates["input"] != NONE]
    assert encoding["qubit"].tolist() == encoding["input"].tolist() == [0, 1, 2]
    assert set(encoding["axis"].tolist()) == {RotationAxis.Y}
    assert np.all(gates["input"][3:] == NONE)


def test_random_pauli_draws_an_axis_for_each_trainable_rotation():
    built = circuit(3, 5, ansatz="random-pauli", observable="Z0 Z1").build(0, 0)
    drawn = built.gates[built.gates["axis"] >= RotationAxis.DRAWN]
    assert built.axes == built.parameters == 15
    assert (drawn["axis"] - RotationAxis.DRAWN).tolist() == drawn["parameter"].tolist() == list(range(15))
    assert np.count_nonzero(built.gates["opcode"] == Opcode.CZ) == 5 * 2
    assert built.gates["offset"][:3].tolist() == [math.pi / 4] * 3


def test_initial_parameters_are_angles_and_do_not_depend_on_other_trials():
    built = circuit().build(0, 0)
    together = built.initial(Streams(range(50), 0))
    assert together.shape == (50, 24)
    assert together.min() >= 0.0
    assert together.max() < 2.0 * math.pi
    np.testing.assert_array_equal(built.initial(Streams([7], 0))[0], together[7])


def test_circuit_of_sixty_qubits_is_read_without_its_state():
    built = circuit(60, 20).build(60, 0)
    assert built.parameters == 60 * 2 * 20
    assert built.dead.shape == (built.parameters,)


def test_program_survives_pickling_and_can_be_redrawn():
    built = circuit(ansatz="random-pauli").build(2, 2)
    again = pickle.loads(pickle.dumps(built))
    np.testing.assert_array_equal(again.gates, built.gates)
    assert again.groups == built.groups
    assert again.redraw().circuit.count_ops() == built.redraw().circuit.count_ops()


def test_gates_of_a_program_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        circuit().build(0, 0).gates["scale"] = 0.0


# Dead parameters.


def test_thirteen_of_24_parameters_are_dead_under_z0():
    built = circuit(4, 3, ansatz="hardware-efficient", observable="Z0").build(4, 2)
    assert (built.parameters, int(built.dead.sum())) == (24, 13)


def test_last_rz_are_dead_under_a_diagonal_observable():
    for observable in ("Z0", "Z3", "Z0 Z2", "ZZZZ"):
        dead = circuit(observable=observable).build(0, 0).dead
        assert dead[-4:].all()


def test_product_circuit_is_dead_outside_the_observables_support():
    drawn = QuantumCircuit(2)
    drawn.rx(THETA, 0)
    drawn.rx(PHI, 1)
    assert program_of(drawn, "IZ").dead.tolist() == [False, True]
    assert program_of(drawn, "ZX").dead.tolist() == [True, False]


def test_fixed_clifford_permutes_the_letters_exactly():
    drawn = QuantumCircuit(1)
    drawn.rz(THETA, 0)
    drawn.h(0)
    assert program_of(drawn, "Z").dead.tolist() == [False]
    assert program_of(drawn, "X").dead.tolist() == [True]


@pytest.mark.parametrize("observable", ["Z0", "X1 X3", "zero-projector"])
@pytest.mark.parametrize("ansatz", sorted(ANSATZE.keys() - {"qaoa"}))
def test_nothing_is_dead_by_letters_that_is_not_dead_by_strings(
    ansatz: str, observable: str, monkeypatch: pytest.MonkeyPatch
):
    by_strings = circuit(ansatz=ansatz, observable=observable).build(0, 0).dead
    monkeypatch.setattr(lightcone, "MOST_STRINGS", 0)
    by_letters = circuit(ansatz=ansatz, observable=observable).build(0, 0).dead
    assert not np.any(by_letters & ~by_strings)


# What is read, and what is refused.


def test_angle_is_read_as_scale_and_offset():
    drawn = QuantumCircuit(1)
    drawn.rx(2 * THETA - 1, 0)
    drawn.rz((THETA + 1) * 3 - 2 * THETA, 0)
    gates = program_of(drawn, "Z").gates
    assert [gate.item()[3:] for gate in gates] == [
        (RotationAxis.X, 0, NONE, 2.0, -1.0),
        (RotationAxis.Z, 0, NONE, 1.0, 3.0),
    ]


@pytest.mark.parametrize(
    ("angle", "reason"),
    [
        (THETA.sign(), "it has no derivative"),
        (1j * THETA, "it is not a finite number"),
        (1j * THETA.sin(), "it is not real"),
        (math.inf, "it is not a finite number"),
        (Parameter("other") + THETA, "other is neither a parameter nor an input"),
    ],
)
def test_angle_that_has_no_derivative_is_refused_with_its_gate(angle: object, reason: str):
    drawn = QuantumCircuit(2)
    drawn.h(0)
    drawn.append(RXGate(angle), [1])
    with pytest.raises(InputError, match=rf"gate 1 \(rx on q1\): the angle is .*: {reason}; legal: a real"):
        program_of(drawn)


def test_gate_that_is_not_unitary_is_refused_with_its_position():
    measured = QuantumCircuit(2, 1)
    measured.measure(1, 0)
    measured.h(1)
    with pytest.raises(InputError, match=r"gate 0 \(measure on q1\): measure is not a unitary gate"):
        program_of(measured)
    prepared = QuantumCircuit(2)
    prepared.h(0)
    prepared.initialize([0.6, 0.8], 0)
    with pytest.raises(InputError, match=r"gate 1 \(initialize on q0\): reset is not a unitary gate"):
        program_of(prepared)


def test_sum_of_parameters_is_read_in_one_order():
    """A controlled U rotates by sums of its angles, and Qiskit's sets of parameters have no order."""

    def gates() -> bytes:
        angles = tuple(Parameter(name) for name in "θφλγ")
        drawn = QuantumCircuit(2)
        drawn.cu(*angles, 0, 1)
        drawing = Drawing(drawn, (Operator(SparsePauliOp("XX")),), (), (angles,), 0)
        return read(lambda: drawing, "cu").gates.tobytes()

    assert len({gates() for _ in range(20)}) == 1


def test_gate_that_only_has_a_standard_name_is_read_by_its_definition():
    inner = QuantumCircuit(1, name="rx")
    inner.rz(0.5, 0)
    drawn = QuantumCircuit(1)
    drawn.append(inner.to_gate(), [0])
    assert [gate.item()[3:] for gate in program_of(drawn, "Z").gates] == [
        (RotationAxis.Z, NONE, NONE, 0.0, 0.5)
    ]


def test_configurations_are_found_without_heavy_imports():
    code = """
import sys
from orchestrator.config.families import discover
from orchestrator.engines.base import Engine
from orchestrator.models.base import Model
assert "kind=circuit" in discover(Model) and "engine=adjoint" in discover(Engine)
heavy = {"ray", "qiskit", "qiskit_aer", "numba", "llvmlite", "pyarrow", "matplotlib", "duckdb"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
