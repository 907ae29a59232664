"""Circuits for tests, named or random, with points and shards."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter, ParameterExpression, ParameterVector
from qiskit.circuit.library import (
    get_standard_gate_name_mapping,
)
from qiskit.quantum_info import SparsePauliOp
from reference import simulate

from orchestrator.backends.batched.differentiator import BatchedProgram
from orchestrator.engines.adjoint import Adjoint
from orchestrator.engines.gradient import Shard
from orchestrator.models.circuits.ansatz import Drawing
from orchestrator.models.circuits.circuit import Circuit
from orchestrator.models.circuits.drawn import drawn_rotation
from orchestrator.models.circuits.elementary import DRAWN
from orchestrator.models.circuits.observable import Operator
from orchestrator.models.circuits.program import Program
from orchestrator.models.circuits.reading import read

ADJOINT = Adjoint(engine="adjoint")

RANDOM = np.random.default_rng

ROUNDING = 1e-13
"""Between two simulations of a few dozen gates: some hundred roundings of 1e-16."""


def circuit(qubits: int = 4, layers: int = 3, features: int = 0, **others: str) -> Program:
    return Circuit.parse({"kind": "circuit", "qubits": qubits, "layers": layers, **others}).build(features, 2)


def program_of(drawing: Drawing) -> Program:
    return read(lambda: drawing, "test")


def derivatives(program: Program, parameters, inputs, axes):
    """E [R, B] and dE/dθ [R, B, P]."""
    parts = list(BatchedProgram(program).parts(parameters, inputs, axes))
    shape = inputs.shape[:2]
    value = np.concatenate([part.expectation for part in parts]).reshape(shape)
    return value, np.concatenate([part.derivative for part in parts]).reshape(*shape, -1)


def check_with_reference(
    program: Program, rows: int = 2, samples: int = 17, seed: int = 0, atol: float = ROUNDING
) -> np.ndarray:
    """Asserts that values and derivatives of the batched kernel and the reference agree; returns the latter.

    Each sample has its own weights. Among 2 · 17 samples there are blocks of eight from one row, from the
    same row as the previous block, from two rows, and one that is not full.
    """
    parameters, inputs, axes = point(program, rows, samples, seed)
    weights = RANDOM(seed + 1).normal(size=(rows, samples, program.outputs))
    value, derivatives = simulate(program, parameters, inputs, axes)
    (part,) = BatchedProgram(program).parts(parameters, inputs, axes, weights)
    shape = rows * samples, -1
    weighted = (weights[..., None] * derivatives).sum(2)
    np.testing.assert_allclose(part.expectation, value.reshape(shape), rtol=0.0, atol=atol)
    np.testing.assert_allclose(part.derivative, weighted.reshape(shape), rtol=0.0, atol=atol)
    return derivatives


def point(program: Program, rows: int, samples: int, seed: int = 0):
    """Random parameters, inputs and axes."""
    random = RANDOM(seed)
    return (
        random.uniform(0.0, 2.0 * math.pi, (rows, program.parameters)),
        random.uniform(0.0, math.pi, (rows, samples, program.inputs)),
        random.integers(0, 3, (rows, program.axes), dtype=np.int8),
    )


def shard(program: Program, rows: int, samples: int, seed: int = 0) -> tuple[np.ndarray, Shard]:
    """Random parameters and a shard of two classes with uneven weights."""
    parameters, inputs, axes = point(program, rows, samples, seed)
    random = RANDOM(seed + 1)
    weights = random.uniform(0.5, 1.5, (rows, samples))
    targets = random.integers(0, 2, (rows, samples)).astype(float)
    return parameters, Shard(inputs, targets, weights / weights.sum(-1, keepdims=True), axes)


STANDARD = {name: gate for name, gate in get_standard_gate_name_mapping().items() if isinstance(gate, Gate)}
"""All of Qiskit's standard gates, without measure, reset and delay."""

ELEMENTARY = (DRAWN, "rx", "ry", "rz", "cx", "cz")


@st.composite
def drawings(draw, curved: bool = False) -> Drawing:
    """Circuits of two to four qubits with any standard gates, drawn axes and any sum of Pauli strings.

    Angles are scaled and shifted, and share three parameters and two inputs. With ``curved``, some angles are
    other functions of two of these. One gate in two is elementary.
    """
    qubits = draw(st.integers(2, 4))
    thetas, features = tuple(ParameterVector("θ", 3)), tuple(ParameterVector("x", 2))
    fitting = st.sampled_from([name for name, gate in STANDARD.items() if gate.num_qubits <= qubits])
    circuit, axes = QuantumCircuit(qubits), 0
    for _ in range(draw(st.integers(1, 20))):
        name = draw(st.one_of(st.sampled_from(ELEMENTARY), fitting))
        order = draw(st.permutations(range(qubits)))
        count = 1 if name == DRAWN else len(STANDARD[name].params)
        chosen = [draw(angles([*thetas, *features], curved)) for _ in range(count)]
        if name == DRAWN:
            gate, axes = drawn_rotation(*chosen, axes), axes + 1
        else:
            gate = STANDARD[name].base_class(*chosen)
        circuit.append(gate, order[: gate.num_qubits])
    labels = draw(st.lists(st.text("IXYZ", min_size=qubits, max_size=qubits), min_size=1, max_size=3))
    observable = SparsePauliOp(labels, [0.5 + index for index in range(len(labels))])
    return Drawing(circuit, (Operator(observable),), features, (thetas,), axes)


@st.composite
def angles(draw, symbols: list[Parameter], curved: bool) -> ParameterExpression:
    """Angles with slopes of at most 2, for symbols in [0, 2π)."""
    one, other = draw(st.sampled_from(symbols)), draw(st.sampled_from(symbols))
    if curved and draw(st.booleans()):
        return draw(st.sampled_from([one + other, 0.3 * one * other, 0.1 * one**2, one.sin() - other]))
    return draw(st.sampled_from([1.0, -1.0, 2.0, 0.5])) * one + draw(st.sampled_from([0.0, 0.3]))
