"""The kernel against the reference in NumPy: every kind of gate, on every qubit, in every layout."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numba
import numpy as np
import pytest
from random_circuits import RANDOM, check_with_reference, circuit

from orchestrator.backends.batched import differentiator
from orchestrator.backends.batched.schedule import schedule
from orchestrator.groups import Group
from orchestrator.models.circuits.ansatz import ANSATZE
from orchestrator.models.circuits.expression import Expression
from orchestrator.models.circuits.gates import GATE, NONE, Gate, Observable, Opcode, RotationAxis, Term
from orchestrator.models.circuits.program import Program

X, Y, Z, DRAWN = RotationAxis.X, RotationAxis.Y, RotationAxis.Z, RotationAxis.DRAWN
LAYOUTS = {
    "rows in lanes, states kept": {},
    "rows in lanes, states undone": {"KEPT_BYTES": 0},
    "amplitudes in lanes": {"WIDE_QUBITS": 0},
}


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sets each layout of the kernel's states in turn, and one thread, since the circuits are small."""
    for name, limit in LAYOUTS[request.param].items():
        monkeypatch.setattr(differentiator, name, limit)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(threads)


def check(program: Program) -> None:
    """Compares values and derivatives with the reference's; no live parameter's derivative may be 0."""
    derivatives = check_with_reference(program)
    assert np.all(np.abs(derivatives[..., ~program.dead]).max((0, 1, 2)) > 1e-3)


def rotation(qubit: int, axis: int, parameter: int = NONE, **others: float) -> Gate:
    return Gate(Opcode.ROTATION, qubit, axis=axis, parameter=parameter, **{"scale": 1.0, **others})


def layer(qubits: int, first: int, entangler: Opcode) -> list[Gate]:
    """Rotates each qubit about X by a number and about Y by its own parameter, then entangles neighbours."""
    turns = [
        turn
        for q in range(qubits)
        for turn in (rotation(q, X, offset=0.3 + 0.2 * q), rotation(q, Y, parameter=first + q))
    ]
    return [*turns, *(Gate(entangler, q, q + 1) for q in range(qubits - 1))]


def between(*gates: Gate, qubits: int = 5, parameters: int = 0, **others: object) -> Program:
    """Puts the gates between two layers. The layers have parameters 0 to 2n - 1, the gates 2n, 2n + 1, …"""
    of_layers = 2 * qubits
    shifted = [
        gate._replace(parameter=gate.parameter + of_layers) if gate.parameter != NONE else gate
        for gate in gates
    ]
    every = [
        *layer(qubits, 0, Opcode.CX),
        *shifted,
        *layer(qubits, qubits, Opcode.CZ),
        rotation(0, X, offset=0.4),
    ]
    return Program(
        **{
            "name": "test",
            "qubits": qubits,
            "inputs": 2,
            "axes": 3,
            "gates": np.array(every, GATE),
            "observables": (Observable(tuple(Term(1.0 + q, 1 << q, 2**qubits - 1) for q in range(qubits))),),
            "groups": (Group("all", 0, of_layers + parameters, 0),),
            "redraw": pytest.fail,  # only certificates redraw a circuit
            **others,
        }
    )


QUBITS = range(5)
TRAINED = rotation(3, X, 0)
ONE_PARAMETER = {
    **{f"X on qubit {q}": [rotation(q, X, 0, scale=-1.5, offset=0.2)] for q in QUBITS},
    **{f"Y on qubit {q}": [rotation(q, Y, 0, scale=-1.5, offset=0.2)] for q in QUBITS},
    **{f"Z on qubit {q}": [rotation(q, Z, 0, scale=-1.5, offset=0.2)] for q in QUBITS},
    **{f"drawn axis on qubit {q}": [rotation(q, DRAWN + 1, 0)] for q in QUBITS},
    "angle for the C library": [rotation(1, Z, 0, offset=3e6)],
    "one parameter on two qubits": [rotation(1, X, 0, scale=0.5), rotation(4, Z, 0)],
    "one parameter twice on a qubit": [rotation(2, Z, 0), rotation(2, X, 0, scale=2.0)],
    "parameter amid numbers": [rotation(3, Z, offset=0.7), TRAINED, rotation(3, Y, offset=-0.4)],
    "parameter amid inputs": [rotation(3, Z, input=0), TRAINED, rotation(3, Y, input=1)],
    "parameter amid drawn axes": [rotation(3, DRAWN, offset=0.5), TRAINED, rotation(3, DRAWN + 2, offset=1)],
}
NO_PARAMETER = {
    **{f"CX from {a} to {b}": [Gate(Opcode.CX, a, b)] for a, b in permutations(QUBITS, 2)},
    **{f"CZ on {a} and {b}": [Gate(Opcode.CZ, a, b)] for a, b in permutations(QUBITS, 2)},
    "no gate": [],
    "number": [rotation(2, X, offset=0.7)],
    "input": [rotation(2, Y, input=1, scale=0.5, offset=0.1)],
    "input about a drawn axis": [rotation(0, DRAWN + 2, input=0)],
    "three CX that exchange two qubits": [Gate(Opcode.CX, *pair) for pair in ((0, 4), (4, 0), (0, 4))],
    "CX on either side of a turn": [Gate(Opcode.CX, 3, 0), rotation(0, Z, offset=0.9), Gate(Opcode.CX, 3, 0)],
}


@pytest.mark.usefixtures("layout")
@pytest.mark.parametrize("gates", ONE_PARAMETER.values(), ids=ONE_PARAMETER)
def test_gate_with_a_parameter_is_that_of_the_reference(gates: list[Gate]) -> None:
    check(between(*gates, parameters=1))


@pytest.mark.usefixtures("layout")
@pytest.mark.parametrize("gates", NO_PARAMETER.values(), ids=NO_PARAMETER)
def test_gate_without_a_parameter_is_that_of_the_reference(gates: list[Gate]) -> None:
    check(between(*gates))


@pytest.mark.usefixtures("layout")
def test_run_about_all_axes_is_that_of_the_reference() -> None:
    """The rotations are merged into one turn, and do not commute."""
    axes = (X, Y, Z, DRAWN, X, DRAWN + 1)
    check(between(*(rotation(2, axis, k, scale=1.0 + k / 4) for k, axis in enumerate(axes)), parameters=6))


THETA, FIRST, SECOND = ("parameter", 0), ("input", 0), ("input", 1)
PRODUCT = ("MUL", THETA, FIRST)


@pytest.mark.usefixtures("layout")
def test_computed_angles_and_features_are_those_of_the_reference() -> None:
    """Rotations by θ₀x₀ about Y, sin(θ₀x₀) about Z, x₀/exp(x₁) about X. The first layer uses θ₀, too."""
    sine = Expression(("SIN", PRODUCT), ((0, ("MUL", ("COS", PRODUCT), FIRST)),))
    gates = rotation(1, Y, 0, scale=0.5), rotation(4, Z, 1, offset=0.1), rotation(2, X, input=2)
    angles = Expression(PRODUCT, ((0, FIRST),)), sine
    check(between(*gates, angles=angles, features=(Expression(("DIV", FIRST, ("EXP", SECOND)), ()),)))


@pytest.mark.usefixtures("layout")
@pytest.mark.parametrize("inputs", [1, 5, 8, 9, 32])
def test_start_from_amplitudes_is_that_of_the_reference(inputs: int) -> None:
    check(between(inputs=inputs, amplitudes=True))


@pytest.mark.usefixtures("layout")
@pytest.mark.parametrize("qubits", [1, 2, 3, 4])
def test_few_qubits_are_those_of_the_reference(qubits: int) -> None:
    """States have fewer amplitudes than a vector has lanes, as many, or twice as many."""
    check(between(*(rotation(q, DRAWN, q) for q in range(qubits)), qubits=qubits, parameters=qubits))


STRINGS = {
    **{f"X on qubit {q}": (Term(1.5, 1 << q, 0),) for q in QUBITS},
    **{f"Y on qubit {q}": (Term(1.5, 1 << q, 1 << q),) for q in QUBITS},
    **{f"Z on qubit {q}": (Term(1.5, 0, 1 << q),) for q in QUBITS},
    "all letters": (Term(-0.5, 0b11011, 0b10110),),
    "sum": (Term(0.5, 0b00011, 0b00110), Term(-1.5, 0b10000, 0b10001), Term(0.25, 0, 0)),
}


@pytest.mark.usefixtures("layout")
@pytest.mark.parametrize("projector", [0.0, 2.0])
@pytest.mark.parametrize("terms", STRINGS.values(), ids=STRINGS)
def test_observable_is_that_of_the_reference(terms: tuple[Term, ...], projector: float) -> None:
    check(between(observables=(Observable(terms, projector),)))


@pytest.mark.usefixtures("layout")
def test_several_observables_are_those_of_the_reference() -> None:
    """Each observable has its own weight in every sample."""
    strings = (Observable(terms) for terms in STRINGS.values())
    check(between(observables=(*strings, Observable((), 1.5), Observable(STRINGS["sum"], -0.5))))


@pytest.mark.usefixtures("layout")
@pytest.mark.parametrize("ansatz", sorted(ANSATZE))
@pytest.mark.parametrize("observable", ["Z0", "X1 Z3"])
def test_named_circuit_is_that_of_the_reference(ansatz: str, observable: str) -> None:
    check(circuit(4, 4, 3, ansatz=ansatz, observable=observable))


@pytest.mark.usefixtures("layout")
@pytest.mark.parametrize("seed", range(5))
def test_long_random_circuit_is_that_of_the_reference(seed: int) -> None:
    """The circuit is long enough for masks of many bits, and for minus signs."""
    random, gates = RANDOM(seed), []
    for k in range(40):
        entanglers = random.choice([Opcode.CX, Opcode.CZ], 3).tolist()
        gates += [Gate(opcode, *random.permutation(5)[:2].tolist()) for opcode in entanglers]
        gates.append(rotation(int(random.integers(5)), int(random.integers(3)), k))
    program = between(*gates, parameters=40)
    assert schedule(program, 0).turns["negative"].any()
    check(program)
