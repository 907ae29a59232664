"""Ansätze, drawn as Qiskit circuits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter
    from qiskit.quantum_info import SparsePauliOp

    from orchestrator.models.circuits.observable import Operator

Layers = tuple[tuple[Any, ...], ...]
StateAt = Callable[[Mapping[str, float]], "NDArray[np.complex128] | None"]
"""Computes the state [2^n] for values of a circuit's parameters, by name; None if it would be too large.

Raises ValueError if the user's text has a part that the function does not support.
"""


@dataclass(frozen=True)
class Drawing:
    """A parametrised circuit and its observables.

    Attributes:
        circuit: has all its parameters free.
        operators: [K] observables.
        inputs: [F] the circuit's parameters that are features, in the order of the data's columns.
        layers: the trainable parameters, in the order of the parameter vector, cut into layers.
        axes: A, number of drawn axes.
        twins: pairs of trainable parameters; the first starts with the value of the second.
        amplitudes: whether the normalised inputs are the first amplitudes of the initial state, instead of
            |0…0>. No gate depends on an input then.
        names: names of the layers; ``layer0``, ``layer1`` … if left out.
        starts: pairs of a trainable parameter and its initial value; the others start at random.
        state_at: computes the state from the user's text, without ``circuit``; None if there is no text.
    """

    circuit: QuantumCircuit
    operators: tuple[Operator, ...]
    inputs: tuple[Parameter, ...]
    layers: tuple[tuple[Parameter, ...], ...]
    axes: int
    twins: tuple[tuple[Parameter, Parameter], ...] = ()
    amplitudes: bool = False
    names: tuple[str, ...] = ()
    starts: tuple[tuple[Parameter, float], ...] = ()
    state_at: StateAt | None = None


@dataclass(frozen=True)
class Trainable:
    """An ansatz: its circuit, its parameters by layer, and its twins (see ``Drawing``)."""

    circuit: QuantumCircuit
    layers: Layers
    twins: tuple[tuple[Parameter, Parameter], ...] = ()

    @property
    def axes(self) -> int:
        """A, number of drawn axes."""
        return int(self.circuit.count_ops().get("drawn", 0))


def with_encoding(trainable: Trainable, encoding: QuantumCircuit, uploads: int) -> QuantumCircuit:
    """Inserts the encoding at the front of the ansatz, and before its second to ``uploads``-th layer.

    A layer begins with the first gate that depends on one of its parameters.
    """
    circuit = trainable.circuit.copy_empty_like()
    circuit.compose(encoding, range(encoding.num_qubits), inplace=True)
    pending = [set(layer) for layer in trainable.layers[1:uploads]]
    for item in trainable.circuit.data:
        if pending and not pending[0].isdisjoint(_symbols(item.operation)):
            pending.pop(0)
            circuit.compose(encoding, range(encoding.num_qubits), inplace=True)
        circuit.append(item)
    return circuit


def _symbols(operation: Any) -> set[Parameter]:
    """Returns the parameters of a gate's angles."""
    return {symbol for value in operation.params for symbol in getattr(value, "parameters", ())}


def _hardware_efficient(qubits: int, layers: int) -> Trainable:
    """Draws layers of RY on all qubits, RZ on all qubits, and CX 0-1, 1-2, …"""
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    circuit = QuantumCircuit(qubits)
    by_layer = _cut(ParameterVector("θ", 2 * qubits * layers), 2 * qubits)
    for angles in by_layer:
        for qubit in range(qubits):
            circuit.ry(angles[qubit], qubit)
        for qubit in range(qubits):
            circuit.rz(angles[qubits + qubit], qubit)
        for qubit in range(qubits - 1):
            circuit.cx(qubit, qubit + 1)
    return Trainable(circuit, by_layer)


def _real_amplitudes(qubits: int, layers: int, *, entanglement: str = "reverse_linear") -> Trainable:
    """Draws Qiskit's ``real_amplitudes``: RY, then CX, repeated; a last layer of RY."""
    from qiskit.circuit.library import real_amplitudes

    return _by_layer(real_amplitudes(qubits, entanglement, layers), qubits)


def _efficient_su2(qubits: int, layers: int, *, entanglement: str = "reverse_linear") -> Trainable:
    """Draws Qiskit's ``efficient_su2``: RY and RZ, then CX, repeated; a last layer of RY and RZ."""
    from qiskit.circuit.library import efficient_su2

    return _by_layer(efficient_su2(qubits, entanglement=entanglement, reps=layers), 2 * qubits)


def _two_local(
    qubits: int,
    layers: int,
    *,
    rotations: Sequence[str] = ("ry",),
    entangler: str = "cx",
    entanglement: str = "full",
) -> Trainable:
    """Draws Qiskit's ``n_local``: gates on qubits, then on pairs, repeated; a last layer without pairs."""
    from qiskit.circuit.library import n_local

    circuit = n_local(qubits, list(rotations), [entangler] if qubits > 1 else [], entanglement, layers)
    parameters = sum(name.startswith("r") or name == "p" for name in rotations)
    last = qubits * parameters
    return _by_layer(circuit, (circuit.num_parameters - last) // layers)


def _pauli_two_design(qubits: int, layers: int, *, ansatz_seed: int = 0) -> Trainable:
    """Draws Qiskit's ``pauli_two_design``: RY(π/4), then rotations and CZ, repeated; last, rotations.

    Each rotation has a fixed axis, drawn from the seed.
    """
    from qiskit.circuit.library import pauli_two_design

    return _by_layer(pauli_two_design(qubits, layers, seed=ansatz_seed), qubits)


def _qaoa(qubits: int, layers: int, *, cost: SparsePauliOp) -> Trainable:  # noqa: ARG001
    """Draws Qiskit's ``qaoa_ansatz`` (Farhi et al. 2014): H, then exp(-iγC) and exp(-iβΣX), repeated.

    A layer has the parameters (γ, β).
    """
    from qiskit.circuit.library import qaoa_ansatz

    circuit = qaoa_ansatz(cost, layers)
    beta, gamma = circuit.parameters[:layers], circuit.parameters[layers:]
    return Trainable(circuit, tuple(zip(gamma, beta, strict=True)))


def _identity_blocks(qubits: int, layers: int, *, block_layers: int = 2) -> Trainable:
    """Draws RY(π/4), then ``layers`` blocks that start as the identity (Grant et al. 2019, arXiv 1903.05076).

    A block is ``block_layers`` layers of ``hardware-efficient`` and their mirror image: the same gates in
    reverse, with negated angles. All parameters are independent; those of the mirror image start with the
    layers' values. In a block of one layer, the CX and their mirror image are adjacent and always cancel.
    """
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    circuit = QuantumCircuit(qubits)
    circuit.ry(math.pi / 4, range(qubits))
    half = _hardware_efficient(qubits, block_layers)
    block = half.circuit.copy()
    mirrored = _cut(ParameterVector("φ", half.circuit.num_parameters), 2 * qubits)
    block.compose(half.circuit.inverse().assign_parameters(_pair(half.layers, mirrored)), inplace=True)
    inside = (*half.layers, *mirrored[::-1])
    all_layers = _cut(ParameterVector("θ", 2 * qubits * len(inside) * layers), 2 * qubits)
    twins: dict[Parameter, Parameter] = {}
    for start in range(0, len(all_layers), len(inside)):
        current = all_layers[start : start + len(inside)]
        circuit.compose(block.assign_parameters(_pair(inside, current)), inplace=True)
        twins |= _pair(current[block_layers:], current[:block_layers][::-1])
    return Trainable(circuit, all_layers, tuple(twins.items()))


def _pair(keys: Layers, values: Layers) -> dict[Parameter, Parameter]:
    """Maps the parameters of some layers to those of others."""
    pairs = zip(keys, values, strict=True)
    return {key: value for first, second in pairs for key, value in zip(first, second, strict=True)}


def _random_pauli(qubits: int, layers: int) -> Trainable:
    """Draws RY(π/4), then layers of rotations about drawn axes and CZ 0-1, 1-2, … (McClean et al. 2018)."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    from orchestrator.models.circuits.drawn import drawn_rotation

    circuit = QuantumCircuit(qubits)
    for qubit in range(qubits):
        circuit.ry(math.pi / 4, qubit)
    by_layer = _cut(ParameterVector("θ", qubits * layers), qubits)
    for layer, angles in enumerate(by_layer):
        for qubit in range(qubits):
            circuit.append(drawn_rotation(angles[qubit], layer * qubits + qubit), [qubit])
        for qubit in range(qubits - 1):
            circuit.cz(qubit, qubit + 1)
    return Trainable(circuit, by_layer)


def _by_layer(circuit: QuantumCircuit, size: int) -> Trainable:
    return Trainable(circuit, _cut(circuit.parameters, size))


def _cut(parameters: Any, size: int) -> Layers:
    """Cuts parameters into consecutive slices of ``size``."""
    symbols = tuple(parameters)
    return tuple(symbols[start : start + size] for start in range(0, len(symbols), size))


ANSATZE: Mapping[str, Callable[..., Trainable]] = MappingProxyType(
    {
        "hardware-efficient": _hardware_efficient,
        "real-amplitudes": _real_amplitudes,
        "efficient-su2": _efficient_su2,
        "two-local": _two_local,
        "pauli-two-design": _pauli_two_design,
        "qaoa": _qaoa,
        "identity-blocks": _identity_blocks,
        "random-pauli": _random_pauli,
    }
)
"""Ansätze by name: functions of (qubits, layers, options as keywords). ``cost`` is the observable."""
