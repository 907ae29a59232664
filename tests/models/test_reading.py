"""Reading a user's circuit: its gates, the order of its parameters, and what is refused."""

import inspect
import itertools
import math
import random
from collections.abc import Callable

import numpy as np
import pytest
import qiskit.circuit.library as library
from qiskit import QuantumCircuit
from qiskit.circuit import AnnotatedOperation, ControlModifier, Gate, Parameter, ParameterVector
from qiskit.circuit.library import (
    HamiltonianGate,
    PauliEvolutionGate,
    PermutationGate,
    RYGate,
    UnitaryGate,
    get_standard_gate_name_mapping,
)
from qiskit.quantum_info import Clifford, Operator, SparsePauliOp, Statevector
from qiskit.synthesis import MatrixExponential

from orchestrator.backends.batched.differentiator import BatchedProgram
from orchestrator.engines.adjoint import Adjoint
from orchestrator.engines.certificate import certify
from orchestrator.errors import InputError
from orchestrator.models.circuits.program import Program
from orchestrator.models.circuits.user_circuit import UserCircuit

ROUNDING = 1e-12
"""Between two simulations of some tens of gates: thousands of roundings of 1e-16."""


class Given(UserCircuit):
    """A circuit that a test has made."""

    kind: str = "given"

    def circuit(self) -> QuantumCircuit:
        return MADE[self.kind]

    @property
    def label(self) -> str:
        return self.kind


MADE: dict[str, QuantumCircuit] = {}


def program(circuit: QuantumCircuit, observable: object = None, inputs: tuple[str, ...] = ()) -> Program:
    MADE["given"] = circuit
    return Given(observable=observable, inputs=inputs).build(len(inputs), 0)


def value(program: Program, parameters: list[float]) -> float:
    axes = np.zeros((1, 0), np.int8)
    found = BatchedProgram(program).expectation(np.array([parameters]), np.zeros((1, 1, 0)), axes)
    return float(found[0, 0, 0])


def by_qiskit(circuit: QuantumCircuit, values: dict[str, float], pauli: str) -> float:
    bound = circuit.remove_final_measurements(inplace=False).assign_parameters(values)
    return float(Statevector(bound).expectation_value(SparsePauliOp(pauli)).real)


def refusal(circuit: QuantumCircuit) -> str:
    with pytest.raises(InputError) as error:
        program(circuit)
    (fault,) = error.value.faults
    assert fault.path == "model"
    return fault.message


# The order of parameters.


def test_component_0_is_the_parameter_used_first_on_any_qubit():
    first, second = Parameter("zeta"), Parameter("alpha")
    circuit = QuantumCircuit(2)
    circuit.ry(first, 1)
    circuit.ry(second, 0)
    circuit.measure_all()
    found = program(circuit, "Z1")
    assert found.names == ("zeta", "alpha")
    assert value(found, [0.3, 0.9]) == pytest.approx(math.cos(0.3), abs=ROUNDING)
    assert found.dead.tolist() == [False, True]
    assert [group.name for group in found.groups] == ["zeta", "alpha"]


def test_order_is_that_of_use_inside_composite_gates_too():
    late, early = Parameter("a"), Parameter("b")
    block = QuantumCircuit(2)
    block.ry(early, 1)
    block.ry(late, 0)
    circuit = QuantumCircuit(2)
    circuit.append(block.to_gate(), [0, 1])
    assert program(circuit).names == ("b", "a")


def test_angles_of_one_gate_count_in_their_order_and_sums_by_name():
    a, b, c, d = (Parameter(name) for name in "abcd")
    circuit = QuantumCircuit(1)
    circuit.u(d, c, b + a, 0)
    assert program(circuit).names == ("d", "c", "a", "b")


def test_vectors_stay_together_and_neighbours_that_differ_in_numbers_are_a_group():
    w, tilt = ParameterVector("w", 11), Parameter("tilt")
    singles = [Parameter(f"t{index}") for index in range(11)]
    circuit = QuantumCircuit(1)
    for angle in (w[10], *singles, tilt, *w[:10]):
        circuit.ry(angle, 0)
    found = program(circuit)
    assert found.names == (*(f"w[{k}]" for k in range(11)), *(f"t{k}" for k in range(11)), "tilt")
    spans = [(group.name, group.start, group.stop, group.depth) for group in found.groups]
    assert spans == [("w", 0, 11, 0), ("t0..t10", 11, 22, 1), ("tilt", 22, 23, 2)]


def test_second_group_of_a_name_gets_a_suffix():
    w, single = ParameterVector("w", 2), Parameter("w")
    circuit = QuantumCircuit(1)
    for angle in (single, *w):
        circuit.ry(angle, 0)
    assert [group.name for group in program(circuit).groups] == ["w", "w#1"]


def test_parameter_that_turns_no_gate_is_dead_and_last():
    idle, used = Parameter("a"), Parameter("z")
    circuit = QuantumCircuit(1, global_phase=idle)
    circuit.ry(used, 0)
    circuit.delay(Parameter("b"), 0)
    found = program(circuit)
    assert (found.names, found.dead.tolist()) == (("z", "a", "b"), [False, True, True])
    assert certify(found, 0) < ROUNDING


def test_circuit_without_a_trained_parameter_is_refused():
    circuit = QuantumCircuit(1)
    circuit.ry(0.3, 0)
    assert "has no free parameter, so there is no gradient" in refusal(circuit)
    circuit.ry(Parameter("x"), 0)
    with pytest.raises(InputError, match="all of them are inputs"):
        program(circuit, inputs=("x",))


# Gates are identified by their class.

NAMES = [
    *("barrier", "delay", "u", "p", "r", "h", "x", "rx", "id", "cx", "cz", "swap", "snapshot", "measure"),
    *("reset", "drawn", "unitary", "initialize", "global_phase", "clifford", "permutation", "mine"),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize(
    "wrap", ["gate", "instruction", "control", "inside", "annotated", "inverse", "nested"]
)
def test_composite_gate_is_its_definition_whatever_its_name(name: str, size: int, wrap: str):
    t = Parameter("t")

    def circuit(called: str) -> QuantumCircuit:
        block = QuantumCircuit(size, name=called, global_phase=0.3)
        block.ry(t, 0)
        if size > 1:
            block.cx(0, 1)
        whole = QuantumCircuit(3)
        whole.h(2)
        wires = list(range(size))
        if wrap == "control":
            whole.append(block.to_gate().control(annotated=False), [2, *wires])
        elif wrap == "inside":
            outer = QuantumCircuit(size, name="outer")
            outer.append(block.to_gate(), wires)
            whole.append(outer.to_gate().control(annotated=False), [2, *wires])
        elif wrap == "annotated":
            whole.append(AnnotatedOperation(block.to_gate(), ControlModifier(1)), [2, *wires])
        elif wrap == "inverse":
            whole.append(block.to_gate().inverse(), wires)
        elif wrap == "nested":
            outer = QuantumCircuit(size, name="h")
            outer.append(block.to_gate(), wires)
            whole.append(outer.to_gate(), wires)
        else:
            whole.append(block.to_gate() if wrap == "gate" else block.to_instruction(), wires)
        whole.rx(0.4, 0)
        whole.cx(0, 1)
        whole.h(2)
        return whole

    try:
        named = circuit(name)
    except BaseException:  # Qiskit itself takes the block for its gate of that name, and may panic
        assert wrap in ("control", "inside")
        return
    found, angle = program(named, "XZX"), 0.7
    expected = by_qiskit(circuit("plain"), {"t": angle}, "XZX")
    assert value(found, [angle]) == pytest.approx(expected, abs=ROUNDING)
    assert certify(found, 0) < ROUNDING


@pytest.mark.parametrize("name", ["block", "h"])
@pytest.mark.parametrize("annotated", [False, True])
@pytest.mark.parametrize("rebound", ["scaled", "swapped", "constant", "new"])
def test_controlled_gate_whose_parameters_were_rebound_is_read_as_it_is_now(
    name: str, annotated: bool, rebound: str
):
    """Qiskit rebinds the definition of a controlled gate, but not that of the gate inside it."""
    a, b, c = Parameter("a"), Parameter("b"), Parameter("c")
    block = QuantumCircuit(1, name=name, global_phase=b)
    block.rx(a, 0)
    block.rz(b, 0)
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.ry(0.2, 1)
    circuit.append(block.to_gate().control(1, annotated=annotated), [0, 1])
    change = {"scaled": {a: 2 * a}, "swapped": {a: b, b: a}, "constant": {a: 0.5}, "new": {a: c, b: 2 * c}}
    circuit = circuit.assign_parameters(change[rebound])
    point = {"a": 0.7, "b": 1.1, "c": 0.4}
    first = {"scaled": 1.4, "swapped": 1.1, "constant": 0.5, "new": 0.4}[rebound]
    second = {"scaled": 1.1, "swapped": 0.7, "constant": 1.1, "new": 0.8}[rebound]
    by_hand = QuantumCircuit(2)
    by_hand.h(0)
    by_hand.ry(0.2, 1)
    by_hand.crx(first, 0, 1)
    by_hand.crz(second, 0, 1)
    by_hand.p(second, 0)
    expected = by_qiskit(by_hand, {}, "ZX")
    try:
        found = program(circuit, "ZX")
    except InputError as error:
        assert name == "h" and not annotated and "is called like Qiskit's own gate" in str(error)
        return
    assert value(found, [point[k] for k in found.names]) == pytest.approx(expected, abs=ROUNDING)
    assert certify(found, 0) < ROUNDING


def test_renamed_gate_of_qiskit_is_what_its_class_says():
    t = Parameter("t")
    gate = RYGate(t).to_mutable()
    gate.name = "rx"
    circuit = QuantumCircuit(1)
    circuit.append(gate, [0])
    found = program(circuit, "X")
    assert value(found, [0.5]) == pytest.approx(math.sin(0.5), abs=ROUNDING)
    assert certify(found, 0) < ROUNDING


@pytest.mark.parametrize("state", range(4))
def test_controls_on_zero_are_read(state: int):
    t, circuit = Parameter("t"), QuantumCircuit(3)
    circuit.h([0, 1])
    circuit.append(RYGate(t).control(2, ctrl_state=state, annotated=False), [0, 1, 2])
    circuit.x(0)
    circuit.append(library.CXGate(ctrl_state=0), [0, 2])
    found = program(circuit, "ZZX")
    assert value(found, [0.5]) == pytest.approx(by_qiskit(circuit, {"t": 0.5}, "ZZX"), abs=ROUNDING)
    assert certify(found, 0) < ROUNDING


def test_cliffords_permutations_and_matrices_are_read():
    t, entangle = Parameter("t"), QuantumCircuit(2)
    entangle.h(0)
    entangle.cx(0, 1)
    circuit = QuantumCircuit(3)
    circuit.ry(t, 0)
    circuit.append(Clifford(entangle), [1, 0])
    circuit.append(PermutationGate([2, 0, 1]), [0, 1, 2])
    circuit.append(UnitaryGate(Operator(entangle).data), [0, 2])
    found = program(circuit, "XYZ")
    assert value(found, [0.5]) == pytest.approx(by_qiskit(circuit, {"t": 0.5}, "XYZ"), abs=ROUNDING)
    assert certify(found, 0) < ROUNDING


def test_reset_of_a_fresh_qubit_is_left_out_and_a_later_one_refused():
    t, circuit = Parameter("t"), QuantumCircuit(2)
    circuit.reset([0, 1])
    circuit.initialize([0.6, 0.8], 1)
    circuit.ry(t, 0)
    found = program(circuit, "Z1")
    assert value(found, [0.5]) == pytest.approx(0.6**2 - 0.8**2, abs=ROUNDING)
    assert certify(found, 0) < ROUNDING
    circuit.reset(0)
    assert refusal(circuit).startswith("gate 4 (reset on q0): reset is not a unitary gate")


# What cannot be read is refused with its gate and qubits.

T, U = Parameter("dwell"), Parameter("lean")


def _if(circuit: QuantumCircuit) -> None:
    circuit.measure(0, 0)
    with circuit.if_test((0, 1)):
        circuit.rx(T, 1)


def _for(circuit: QuantumCircuit) -> None:
    with circuit.for_loop(range(3)):
        circuit.rx(T, 1)


def _variable(circuit: QuantumCircuit) -> None:
    from qiskit.circuit.classical import types

    circuit.add_var(circuit.add_input("a", types.Uint(8)).name + "b", 3)
    circuit.rx(T, 0)


UNREADABLE: dict[str, tuple[Callable[[QuantumCircuit], object], str]] = {
    "hamiltonian": (
        lambda c: c.append(HamiltonianGate(np.diag([1.0, -1.0]), T), [0]),
        "gate 2 (hamiltonian on q0): hamiltonian cannot be decomposed into other gates",
    ),
    "rv": (lambda c: c.rv(T, U, 0.1, 1), "gate 2 (rv on q1): rv cannot be decomposed into other gates"),
    "exact evolution": (
        lambda c: c.append(
            PauliEvolutionGate(SparsePauliOp(["XZ", "YI"]), T, synthesis=MatrixExponential()), [1, 0]
        ),
        "gate 2 (PauliEvolution on q1, q0): ",
    ),
    "opaque": (
        lambda c: c.append(Gate("mystery", 1, [T]), [0]),
        "gate 2 (mystery on q0): mystery is not a unitary gate: it has no definition",
    ),
    "measured": (
        lambda c: (c.measure(0, 0), c.rx(T, 0)),
        "gate 2 (measure on q0): measure is not a unitary gate (legal: measurements at the end)",
    ),
    "if": (_if, "gate 2 (measure on q0): measure is not a unitary gate"),
    "for": (_for, "gate 2 (for_loop on q1): for_loop is not a unitary gate"),
    "variable": (_variable, "gate 2 (store): store is not a unitary gate"),
    "complex": (lambda c: c.rx(T * 1j, 0), "gate 2 (rx on q0): the angle is"),
    "kink": (lambda c: c.rx(T.abs() * T.sign(), 0), "gate 2 (rx on q0): the angle is"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_gate_that_cannot_be_read_is_refused_with_its_position(name: str):
    make, expected = UNREADABLE[name]
    circuit = QuantumCircuit(2, 2)
    circuit.ry(0.3, 0)
    circuit.cx(0, 1)
    make(circuit)
    assert expected in refusal(circuit)


# Every circuit of Qiskit's library, and every mutation of one, ends in a program or in a fault.


def _library() -> dict[str, Callable[[], QuantumCircuit]]:
    """A circuit of each class in Qiskit's library that takes numbers or free parameters."""
    pool = [Parameter("t"), Parameter("u"), 0.3, Parameter("v")]
    found: dict[str, Callable[[], QuantumCircuit]] = {}
    for name, member in inspect.getmembers(library, inspect.isclass):
        for count, first in itertools.product(range(5), (None, 2)):
            arguments = [*([] if first is None else [first]), *pool[:count]]

            def make(member: type = member, arguments: list = arguments) -> QuantumCircuit:
                gate = member(*arguments)
                size = gate.num_qubits
                circuit = QuantumCircuit(max(2, size))
                circuit.h(0)
                circuit.ry(Parameter("s"), 1)
                circuit.append(gate, range(size))
                return circuit

            found[f"{name}({', '.join(map(str, arguments))})"] = make
    return found


def _mutated(circuit: QuantumCircuit, how: random.Random) -> QuantumCircuit:
    """The circuit inverted, repeated, controlled, wrapped, reversed or decomposed."""
    change = how.choice(
        [
            lambda c: c.inverse(),
            lambda c: c.repeat(2),
            lambda c: c.power(2),
            lambda c: c.control(),
            lambda c: QuantumCircuit(c.num_qubits).compose(c.to_instruction()),
            lambda c: QuantumCircuit(c.num_qubits).compose(c.to_gate()),
            lambda c: c.reverse_bits(),
            lambda c: c.compose(QuantumCircuit(1, 1)),
            lambda c: c.decompose(),
        ]
    )
    return change(circuit)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # classes of Qiskit's library that go in 3.0
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_any_circuit_of_qiskits_library_ends_in_a_program_or_a_fault():
    how, read, refused = random.Random(0), 0, 0
    for make in _library().values():
        try:
            circuit = make()
        except Exception:  # the class takes other arguments
            continue
        if circuit.num_qubits > 5:
            continue
        for mutate in (False, True):
            try:
                circuit = _mutated(circuit, how) if mutate else circuit
                values = {symbol.name: 0.1 + how.random() for symbol in circuit.parameters}
                bound = circuit.assign_parameters(values)
                expected = by_qiskit(bound, {}, "I" * (circuit.num_qubits - 1) + "X")
            except Exception:  # Qiskit cannot do it
                expected = None
            try:
                found = program(circuit, "X0")
            except InputError as error:
                refused += 1
                assert all(fault.path.startswith("model") for fault in error.faults)
                continue
            read += 1
            if expected is not None:
                point = [values[name] for name in found.names]
                assert value(found, point) == pytest.approx(expected, abs=1e-9)  # deep definitions
    assert read > 100 and refused > 3


def test_every_standard_gate_is_read_or_decomposed():
    for name, gate in get_standard_gate_name_mapping().items():
        if not isinstance(gate, Gate) or name == "global_phase":
            continue
        angles = [0.1 + 0.2 * index for index in range(len(gate.params))]
        circuit = QuantumCircuit(gate.num_qubits + 1)
        circuit.ry(Parameter("t"), 0)
        circuit.h(range(1, gate.num_qubits + 1))
        circuit.append(gate.base_class(*angles), range(gate.num_qubits))
        pauli = "I" + "X" * gate.num_qubits
        found = program(circuit, pauli)
        assert value(found, [0.6]) == pytest.approx(by_qiskit(circuit, {"t": 0.6}, pauli), abs=ROUNDING), name


# The certificate's tolerance.


@pytest.mark.parametrize(
    ("coefficient", "scale"), [(1e7, 1.0), (1.0, 1e5), (1e-7, 1.0)], ids=["large", "steep", "small"]
)
def test_certificate_allows_for_large_observables_and_steep_angles(coefficient: float, scale: float):
    angles, circuit = ParameterVector("a", 4), QuantumCircuit(2)
    for layer in range(2):
        circuit.ry(scale * angles[2 * layer], 0)
        circuit.rx(scale * angles[2 * layer + 1], 1)
        circuit.cx(0, 1)
    found = program(circuit, {"ZZ": coefficient, "XI": coefficient})
    assert Adjoint(engine="adjoint").certify(found, 0) is not None


def test_certificate_of_a_small_observable_is_as_strict_as_of_a_large_one():
    from orchestrator.engines.certificate import tolerance

    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("a"), 0)
    small, large = (program(circuit, {"Z": c}) for c in (1e-7, 1e7))
    assert tolerance(large, "complex128") == pytest.approx(1e14 * tolerance(small, "complex128"))
