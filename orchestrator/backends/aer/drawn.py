"""Exact expectation values on Aer of a circuit as Qiskit draws it. Certificates compare with these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.backends.aer.gates import begin, padded
from orchestrator.groups import Array
from orchestrator.models.circuits.ansatz import Drawing

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

_BASIS = ["u", "rx", "ry", "rz", "cx", "cz"]


def expectations(
    drawing: Drawing, points: Sequence[Array], inputs: Array, axes: NDArray[np.int8]
) -> list[Array]:
    """Returns E [K] of a circuit as Qiskit draws it, for each parameter vector in ``points``.

    All angles are bound before the run, and fusion is off, since run-time binding of controlled rotations
    (qiskit-aer issue 2403) and fusion (2245) give wrong values. One thread is used.
    """
    from qiskit import transpile
    from qiskit_aer import AerSimulator

    simulator = AerSimulator(method="statevector", max_parallel_threads=1, fusion_enable=False)
    inlined = _inlined(drawing.circuit, axes)
    circuit = transpile(inlined, basis_gates=[*_BASIS, "reset"], optimization_level=0)
    if drawing.amplitudes:
        prepared = circuit.copy_empty_like()
        begin(prepared, padded(inputs[None] / np.linalg.norm(inputs), circuit.num_qubits)[0], "statevector")
        circuit = prepared.compose(circuit)
    for k, operator in enumerate(drawing.operators):
        circuit.save_expectation_value(operator.paulis, range(circuit.num_qubits), label=str(k))
    circuit.save_amplitudes_squared([0])
    trainable = [parameter for layer in drawing.layers for parameter in layer]
    symbols = trainable if drawing.amplitudes else [*trainable, *drawing.inputs]
    bound = [circuit.assign_parameters(_bindings(circuit, symbols, [*point, *inputs])) for point in points]
    result = simulator.run(bound, shots=1).result()  # with a reset in the circuit, Aer averages over shots
    saved = [result.data(index) for index in range(len(points))]
    projectors = np.array([operator.projector for operator in drawing.operators])
    return [
        np.array([data[str(k)] for k in range(len(projectors))]) + projectors * data["amplitudes_squared"][0]
        for data in saved
    ]


def _bindings(circuit: QuantumCircuit, symbols: Sequence[Any], values: Sequence[float]) -> dict[Any, float]:
    """Returns the values of the symbols that a circuit has. Values may be more than symbols."""
    named = zip(symbols, values, strict=False)
    return {symbol: value for symbol, value in named if symbol in circuit.parameters}


def _inlined(circuit: QuantumCircuit, axes: NDArray[np.int8]) -> QuantumCircuit:
    """Replaces the user's own gates by their definitions, and rotations about drawn axes by RX, RY or RZ.

    Qiskit's transpiler and Aer identify a gate by its name, and a user's gate may have that of another gate.
    """
    from qiskit.circuit import AnnotatedOperation, Barrier, ControlledGate, ControlModifier, Delay

    from orchestrator.models.circuits.drawn import is_drawn_rotation
    from orchestrator.models.circuits.elementary import is_misnamed

    inlined = circuit.copy_empty_like()
    for item in circuit.data:
        operation, definition = item.operation, getattr(item.operation, "definition", None)
        if is_drawn_rotation(operation):
            angle, index = operation.params
            rotate: Any = (inlined.rx, inlined.ry, inlined.rz)[axes[int(index)]]
            rotate(angle, item.qubits[0])
        elif isinstance(operation, Barrier | Delay):
            continue
        elif type(operation) is ControlledGate and is_misnamed(operation.base_gate):
            control = ControlModifier(operation.num_ctrl_qubits, operation.ctrl_state)
            inlined.append(AnnotatedOperation(_nameless(operation.base_gate), control), item.qubits)
        elif isinstance(operation, AnnotatedOperation):
            inlined.append(AnnotatedOperation(_nameless(operation.base_op), operation.modifiers), item.qubits)
        elif definition is None or _is_standard(operation):
            inlined.append(item)
        else:
            inlined.compose(_inlined(definition, axes), item.qubits, inplace=True)
    return inlined


def _nameless(operation: Any) -> Any:
    """Returns an operation as a gate that consists of standard gates, under a unique name."""
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(operation.num_qubits)
    circuit.append(operation, circuit.qubits)
    return _inlined(circuit, np.zeros(0, np.int8)).to_gate()


def _is_standard(operation: Any) -> bool:
    """Returns whether an operation is Qiskit's own gate of that name, and does not merely share the name."""
    from qiskit.circuit.library import get_standard_gate_name_mapping

    known = get_standard_gate_name_mapping().get(operation.name)
    return known is not None and known.base_class is operation.base_class
