"""A Qiskit circuit taken apart into Qiskit's standard gates.

An operation is known by its class, never by its name: names are the user's own. A standard gate is kept if
the caller knows it; anything else is replaced by its definition, down to gates that are known.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.errors import InputError
from orchestrator.models.circuits.size import MOST_GATES, MOST_QUBITS
from orchestrator.user_code import explained

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter

PATH = "model"

DRAWN = "drawn"
"""What ``standard_name`` calls a ``models.circuits.drawn.drawn_rotation``."""

_BASIS = ["rx", "ry", "rz", "u", "cx", "cz"]


@dataclass(frozen=True)
class ElementaryGate:
    """A gate that a circuit is made of.

    Attributes:
        name: of the standard gate, in Qiskit's terms; or ``DRAWN``.
        angles: its parameters.
        qubits: indices in the whole circuit.
        origin: the gate of the circuit that it comes from, as a message names it.
    """

    name: str
    angles: tuple[Any, ...]
    qubits: tuple[int, ...]
    origin: str

    @property
    def symbols(self) -> list[Parameter]:
        """The free parameters, angle by angle; those of one angle in the order of their names."""
        found = (getattr(angle, "parameters", ()) for angle in self.angles)
        return [symbol for symbols in found for symbol in sorted(symbols, key=rank)]


def rank(symbol: Any) -> tuple[str, int]:
    """Sorts parameters by name, elements of a vector by their index."""
    return (symbol.vector.name, symbol.index) if hasattr(symbol, "vector") else (symbol.name, -1)


def decompose(circuit: QuantumCircuit, known: Container[str]) -> Iterator[ElementaryGate]:
    """The gates of a circuit in its own order, measurements at its end left out.

    A reset of a qubit that no gate has touched leaves it in |0>, and is left out as well.

    Args:
        known: names of standard gates that are kept.

    Raises:
        InputError: at ``model``, an operation is not unitary or has no definition; it names gate and qubits.
    """
    try:
        yield from _Takes(known).apart(circuit)
    except RecursionError:
        raise InputError.at(PATH, "definitions of the circuit's gates are nested too deeply") from None


class _Takes:
    """Takes a circuit apart; remembers which qubits gates have touched, and counts the gates."""

    def __init__(self, known: Container[str]) -> None:
        self._known = known
        self._touched: set[int] = set()
        self._operations = 0

    def apart(self, circuit: QuantumCircuit) -> Iterator[ElementaryGate]:
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
        if self._operations > 2 * MOST_GATES:  # a gate with a definition counts, too, as that may be empty
            message = f"has more than {2 * MOST_GATES:,} gates, and gates in definitions, up to {origin}"
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
        if definition.global_phase:  # it is felt where the operation is controlled
            yield ElementaryGate("global_phase", (definition.global_phase,), (), origin)
        for item in definition.data:
            inner = tuple(qubits[definition.find_bit(qubit).index] for qubit in item.qubits)
            yield from self.operation(item.operation, inner, origin)


def check_size(qubits: int, gates: int) -> None:
    """Refuses a circuit by its number of qubits and of operations, as they stand in it."""
    if qubits > MOST_QUBITS:
        raise InputError.at(PATH, f"has {qubits:,} qubits, at most {MOST_QUBITS:,} are read")
    if gates > MOST_GATES:
        raise InputError.at(PATH, f"has {gates:,} gates, at most {MOST_GATES:,} are read")


def final_measurements(circuit: QuantumCircuit) -> set[int]:
    """Which items of a circuit are measurements that no other operation on the same qubit or bit follows."""
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
    """A copy without them, and without classical bits. Raises InputError as ``decompose`` does."""
    from qiskit import QuantumCircuit

    final = final_measurements(circuit)
    copy = QuantumCircuit(circuit.num_qubits, global_phase=circuit.global_phase)
    for number, item in enumerate(circuit.data):
        if number not in final:
            copy.append(item.operation, [circuit.find_bit(qubit).index for qubit in item.qubits], copy=False)
    return copy


def standard_name(operation: Any) -> str | None:
    """The name of Qiskit's standard gate that an operation is; None if it is none of them.

    A controlled gate that acts where a control is 0 is none.
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
    """The circuit that an operation stands for; raises InputError if there is none."""
    from qiskit.circuit import ControlFlowOp, Reset

    if isinstance(operation, Reset):
        raise _refused(
            operation, origin, "is no unitary gate; only one before a qubit's first gate is left out"
        )
    if isinstance(operation, ControlFlowOp):
        raise _refused(operation, origin, "is no unitary gate; write the gates out")
    if getattr(operation, "num_clbits", 0):
        raise _refused(operation, origin, "is no unitary gate; only measurements at the end are left out")
    if (count := _matrix_gates(operation)) > MOST_GATES:
        reason = f"is a matrix, which takes some {count:,} gates (legal: {MOST_GATES:,})"
        raise _refused(operation, origin, reason)
    try:
        with explained(PATH, f"{origin}: the definition of {operation.name}"):
            definition = _defined(operation, origin)
    except (InputError, RecursionError):
        raise
    except Exception as error:  # a formula that needs numbers
        reason = " ".join(str(error).split())[:200]
        raise _refused(operation, origin, f"cannot be written in other gates: {reason}") from error
    if definition is None:
        raise _refused(operation, origin, "is no unitary gate: it has no definition")
    return definition


def _matrix_gates(operation: Any) -> int:
    """Gates that Qiskit makes of a matrix, about (measured on random ones); 0 if an operation has none."""
    sizes = [value.size for value in getattr(operation, "params", ()) if isinstance(value, np.ndarray)]
    return int(1.2 * max(sizes, default=0))


def _defined(operation: Any, origin: str) -> QuantumCircuit | None:
    """A gate's own definition, or Qiskit's synthesis of a Clifford, a permutation, an annotated gate."""
    from qiskit.circuit import AnnotatedOperation, ControlledGate, Gate, Instruction

    if type(operation) is ControlledGate and is_misnamed(operation.base_gate):
        return _controlled(operation, origin)
    definition: QuantumCircuit | None = getattr(operation, "definition", None)
    if definition is not None:
        return definition
    if isinstance(operation, AnnotatedOperation):
        base = _in_standard_gates(operation.base_op, origin).to_gate()
        return _synthesised(AnnotatedOperation(base, operation.modifiers))
    known = not isinstance(operation, Instruction) or (
        isinstance(operation, Gate) and type(operation) is not Gate
    )
    return _synthesised(operation) if known else None


def is_misnamed(operation: Any) -> bool:
    """Whether an operation, or one in its definition, is called like a standard gate, and is another."""
    name = standard_name(operation)
    if name is None and operation.name in _standard_classes():
        return True
    definition = None if name else getattr(operation, "definition", None)
    return definition is not None and any(is_misnamed(item.operation) for item in definition.data)


def _controlled(operation: Any, origin: str) -> QuantumCircuit:
    """Each standard gate of the base gate under control: Qiskit's own definition goes by the names in it.

    Qiskit rebinds that definition when parameters are assigned, but not that of the base gate.
    """
    from qiskit import QuantumCircuit

    controls, base = operation.num_ctrl_qubits, operation.base_gate
    if list(base.params) != list(base.definition.parameters):
        reason = "controls what is called like Qiskit's own gate, and has other parameters now; rename that"
        raise _refused(operation, origin, reason)
    definition = QuantumCircuit(operation.num_qubits)
    inside = _in_standard_gates(base, origin)
    for item in inside.data:
        gate = item.operation.control(controls, ctrl_state=operation.ctrl_state, annotated=False)
        wires = [controls + inside.find_bit(qubit).index for qubit in item.qubits]
        definition.append(gate, [*range(controls), *wires])
    return definition


def _in_standard_gates(operation: Any, origin: str) -> QuantumCircuit:
    """An operation as a circuit of standard gates, global phases among them as gates."""
    from qiskit import QuantumCircuit

    circuit, classes = QuantumCircuit(operation.num_qubits), _standard_classes()
    for gate in _Takes(classes).operation(operation, tuple(range(operation.num_qubits)), origin):
        circuit.append(classes[gate.name](*gate.angles), gate.qubits)
    return circuit


def _synthesised(operation: Any) -> QuantumCircuit:
    from qiskit import QuantumCircuit, transpile

    circuit = QuantumCircuit(operation.num_qubits)
    circuit.append(operation, circuit.qubits)
    return transpile(circuit, basis_gates=_BASIS, optimization_level=0)


def _refused(operation: Any, origin: str, reason: str) -> InputError:
    return InputError.at(PATH, f"{origin}: {operation.name} {reason}")
