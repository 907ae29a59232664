"""Decomposition of a Qiskit circuit into Qiskit's standard gates.

An operation is identified by its class, never by its name: users choose names freely. A standard gate is
kept if the caller knows it. Any other operation is replaced by its definition, down to known gates.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.errors import InputError
from orchestrator.models.circuits.size import MOST_GATES, MOST_QUBITS
from orchestrator.user_code import errors_as_faults

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter

PATH = "model"

DRAWN = "drawn"
"""The name that ``standard_name`` gives to a ``models.circuits.drawn.drawn_rotation``."""

_BASIS = ["rx", "ry", "rz", "u", "cx", "cz"]


@dataclass(frozen=True)
class ElementaryGate:
    """A standard gate of a decomposed circuit.

    Attributes:
        name: Qiskit's name of the standard gate, or ``DRAWN``.
        angles: the gate's parameters.
        qubits: indices in the whole circuit.
        origin: the gate of the original circuit, as messages name it.
    """

    name: str
    angles: tuple[Any, ...]
    qubits: tuple[int, ...]
    origin: str

    @property
    def symbols(self) -> list[Parameter]:
        """The free parameters, angle by angle; those of one angle are ordered by ``rank``."""
        by_angle = (getattr(angle, "parameters", ()) for angle in self.angles)
        return [symbol for symbols in by_angle for symbol in sorted(symbols, key=rank)]


def rank(symbol: Any) -> tuple[str, int]:
    """Returns a key that sorts parameters by name, and elements of a vector by index."""
    return (symbol.vector.name, symbol.index) if hasattr(symbol, "vector") else (symbol.name, -1)


def decompose(circuit: QuantumCircuit, known: Container[str]) -> Iterator[ElementaryGate]:
    """Yields the gates of a circuit in order; measurements at its end are left out.

    A reset of a qubit before its first gate leaves |0>, and is left out too.

    Args:
        known: names of standard gates that are kept.

    Raises:
        InputError: at ``model``: an operation is not unitary or has no definition. The message names the
            gate and its qubits.
    """
    try:
        yield from _Decomposer(known).circuit(circuit)
    except RecursionError:
        raise InputError.at(PATH, "definitions of the circuit's gates are nested too deeply") from None


class _Decomposer:
    """Decomposes a circuit; keeps the qubits that gates have touched and the number of operations."""

    def __init__(self, known: Container[str]) -> None:
        self._known = known
        self._touched: set[int] = set()
        self._operations = 0

    def circuit(self, circuit: QuantumCircuit) -> Iterator[ElementaryGate]:
        check_size(circuit.num_qubits, len(circuit.data))
        final = final_measurements(circuit)
        for number, item in enumerate(circuit.data):
            if number not in final:
                qubits = tuple(circuit.find_bit(qubit).index for qubit in item.qubits)
                on = ", ".join(f"q{qubit}" for qubit in qubits)
                origin = f"gate {number} ({item.operation.name}{' on ' if on else ''}{on})"
                yield from self.operation(item.operation, qubits, origin)

    def operation(self, operation: Any, qubits: tuple[int, ...], origin: str) -> Iterator[ElementaryGate]:
        from qiskit.circuit import Barrier, Delay, Reset

        self._operations += 1
        if self._operations > 2 * MOST_GATES:  # gates in between count too: a definition may be empty
            message = f"has more than {2 * MOST_GATES:,} gates and gates in definitions, up to {origin}"
            raise InputError.at(PATH, message)
        if isinstance(operation, Barrier | Delay):
            return
        if isinstance(operation, Reset) and self._touched.isdisjoint(qubits):
            return
        name = standard_name(operation)
        if name is not None and name in self._known:
            self._touched.update(qubits)
            yield ElementaryGate(name, tuple(operation.params), qubits, origin)
            return
        definition = _definition(operation, origin)
        if definition.global_phase:  # has an effect where the operation is controlled
            yield ElementaryGate("global_phase", (definition.global_phase,), (), origin)
        for item in definition.data:
            inner = tuple(qubits[definition.find_bit(qubit).index] for qubit in item.qubits)
            yield from self.operation(item.operation, inner, origin)


def check_size(qubits: int, gates: int) -> None:
    """Raises InputError if a circuit has too many qubits or operations, before it is decomposed."""
    if qubits > MOST_QUBITS:
        raise InputError.at(PATH, f"has {qubits:,} qubits (legal: at most {MOST_QUBITS:,})")
    if gates > MOST_GATES:
        raise InputError.at(PATH, f"has {gates:,} gates (legal: at most {MOST_GATES:,})")


def final_measurements(circuit: QuantumCircuit) -> set[int]:
    """Returns the positions of measurements that no operation on the same qubit or bit follows."""
    from qiskit.circuit import Barrier, Delay, Measure

    final: set[int] = set()
    used: set[Any] = set()
    for number in range(len(circuit.data) - 1, -1, -1):
        item = circuit.data[number]
        wires = {*item.qubits, *item.clbits}
        if isinstance(item.operation, Measure) and used.isdisjoint(wires):
            final.add(number)
        elif not isinstance(item.operation, Barrier | Delay):
            used |= wires
    return final


def without_final_measurements(circuit: QuantumCircuit) -> QuantumCircuit:
    """Returns a copy without final measurements and classical bits; ``decompose`` refuses other ones."""
    from qiskit import QuantumCircuit

    final = final_measurements(circuit)
    copy = QuantumCircuit(circuit.num_qubits, global_phase=circuit.global_phase)
    for number, item in enumerate(circuit.data):
        if number not in final:
            copy.append(item.operation, [circuit.find_bit(qubit).index for qubit in item.qubits], copy=False)
    return copy


def standard_name(operation: Any) -> str | None:
    """Returns the name of an operation that is one of Qiskit's standard gates; None for any other.

    A controlled gate that acts where a control is 0 is not a standard gate.
    """
    from orchestrator.models.circuits.drawn import is_drawn_rotation

    if is_drawn_rotation(operation):
        return DRAWN
    name = _standard_names().get(getattr(operation, "base_class", type(operation)))
    controls = getattr(operation, "num_ctrl_qubits", 0)
    return name if getattr(operation, "ctrl_state", 2**controls - 1) == 2**controls - 1 else None


@cache
def _standard_names() -> dict[type, str]:
    return {base_class: name for name, base_class in _standard_classes().items()}


@cache
def _standard_classes() -> dict[str, Any]:
    from qiskit.circuit import Gate
    from qiskit.circuit.library import get_standard_gate_name_mapping

    gates = get_standard_gate_name_mapping().items()
    return {name: gate.base_class for name, gate in gates if isinstance(gate, Gate)}


def _definition(operation: Any, origin: str) -> QuantumCircuit:
    """Returns the circuit that defines an operation; raises InputError if there is none."""
    from qiskit.circuit import ControlFlowOp, Reset

    if isinstance(operation, Reset):
        reason = "is not a unitary gate (legal: a reset before a qubit's first gate)"
        raise _refusal(operation, origin, reason)
    if isinstance(operation, ControlFlowOp):
        raise _refusal(operation, origin, "is not a unitary gate; write its gates out")
    if getattr(operation, "num_clbits", 0):
        raise _refusal(operation, origin, "is not a unitary gate (legal: measurements at the end)")
    if (count := _matrix_gates(operation)) > MOST_GATES:
        reason = f"is a matrix that becomes about {count:,} gates (legal: at most {MOST_GATES:,})"
        raise _refusal(operation, origin, reason)
    try:
        with errors_as_faults(PATH, f"{origin}: the definition of {operation.name}"):
            definition = _find_definition(operation, origin)
    except (InputError, RecursionError):
        raise
    except Exception as error:  # such as a formula that needs numbers
        reason = " ".join(str(error).split())[:200]
        raise _refusal(operation, origin, f"cannot be decomposed into other gates: {reason}") from error
    if definition is None:
        raise _refusal(operation, origin, "is not a unitary gate: it has no definition")
    return definition


def _matrix_gates(operation: Any) -> int:
    """Estimates how many gates Qiskit makes of a matrix (measured on random ones); 0 without a matrix."""
    sizes = [value.size for value in getattr(operation, "params", ()) if isinstance(value, np.ndarray)]
    return int(1.2 * max(sizes, default=0))


def _find_definition(operation: Any, origin: str) -> QuantumCircuit | None:
    """Returns a gate's own definition, or Qiskit's synthesis of a Clifford, permutation or annotated gate."""
    from qiskit.circuit import AnnotatedOperation, ControlledGate, Gate, Instruction

    if type(operation) is ControlledGate and is_misnamed(operation.base_gate):
        return _control_each(operation, origin)
    definition: QuantumCircuit | None = getattr(operation, "definition", None)
    if definition is not None:
        return definition
    if isinstance(operation, AnnotatedOperation):
        base = _in_standard_gates(operation.base_op, origin).to_gate()
        return _synthesise(AnnotatedOperation(base, operation.modifiers))
    synthesisable = not isinstance(operation, Instruction) or (
        isinstance(operation, Gate) and type(operation) is not Gate
    )
    return _synthesise(operation) if synthesisable else None


def is_misnamed(operation: Any) -> bool:
    """Returns whether an operation, or one in its definition, has a standard gate's name but is another."""
    name = standard_name(operation)
    if name is None and operation.name in _standard_classes():
        return True
    definition = None if name else getattr(operation, "definition", None)
    return definition is not None and any(is_misnamed(item.operation) for item in definition.data)


def _control_each(operation: Any, origin: str) -> QuantumCircuit:
    """Controls each standard gate of the base gate, as Qiskit's own definition identifies gates by name.

    When parameters are assigned, Qiskit rebinds that definition, but not the base gate's. Such a gate is
    refused.
    """
    from qiskit import QuantumCircuit

    controls, base = operation.num_ctrl_qubits, operation.base_gate
    if list(base.params) != list(base.definition.parameters):
        reason = "controls a gate that is called like Qiskit's own gate, and was assigned other parameters"
        raise _refusal(operation, origin, f"{reason}; rename that gate")
    definition = QuantumCircuit(operation.num_qubits)
    inside = _in_standard_gates(base, origin)
    for item in inside.data:
        gate = item.operation.control(controls, ctrl_state=operation.ctrl_state, annotated=False)
        wires = [controls + inside.find_bit(qubit).index for qubit in item.qubits]
        definition.append(gate, [*range(controls), *wires])
    return definition


def _in_standard_gates(operation: Any, origin: str) -> QuantumCircuit:
    """Decomposes an operation into a circuit of standard gates; global phases become gates."""
    from qiskit import QuantumCircuit

    circuit, classes = QuantumCircuit(operation.num_qubits), _standard_classes()
    for gate in _Decomposer(classes).operation(operation, tuple(range(operation.num_qubits)), origin):
        circuit.append(classes[gate.name](*gate.angles), gate.qubits)
    return circuit


def _synthesise(operation: Any) -> QuantumCircuit:
    from qiskit import QuantumCircuit, transpile

    circuit = QuantumCircuit(operation.num_qubits)
    circuit.append(operation, circuit.qubits)
    return transpile(circuit, basis_gates=_BASIS, optimization_level=0)


def _refusal(operation: Any, origin: str, reason: str) -> InputError:
    return InputError.at(PATH, f"{origin}: {operation.name} {reason}")
