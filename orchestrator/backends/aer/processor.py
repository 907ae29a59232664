"""IBM's processors, as recorded in snapshots: couplings, gates, and error rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Instruction
    from qiskit.providers import BackendV2

Qubits = tuple[int, ...]
"""The physical qubits that an instruction acts on, in the instruction's order."""

_TRANSPILER: dict[str, int] = {"optimization_level": 1, "seed_transpiler": 0}
"""Fixed, since they change a circuit's qubits and gates, and so its noise."""


@cache
def names() -> tuple[str, ...]:
    """Returns the names of all processors that have a snapshot."""
    from qiskit.providers import BackendV2
    from qiskit_ibm_runtime import fake_provider

    members = vars(fake_provider).items()
    return tuple(sorted(name for name, item in members if _is_subclass(item, BackendV2)))


def _is_subclass(item: object, family: type) -> bool:
    """Returns whether an object is a class of this family."""
    return isinstance(item, type) and issubclass(item, family)


@cache
def processor(name: str) -> Processor:
    """Returns the processor with one of the ``names``."""
    from qiskit_ibm_runtime import fake_provider

    return Processor(getattr(fake_provider, name)())


@dataclass(frozen=True, eq=False)
class Processor:
    """A processor and its noise, which is that of ``AerSimulator.from_backend``.

    After each gate there is a depolarising channel, and relaxation over the gate's duration. Each readout has
    a probability of error, for which Aer takes the snapshot's mean over 0 and 1. Idle qubits have no noise.

    Attributes:
        backend: the snapshot.
    """

    backend: BackendV2

    @property
    def qubits(self) -> int:
        """Number of physical qubits."""
        return int(self.backend.num_qubits)

    def transpiled(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """Returns the circuit in the processor's gates, on its physical qubits."""
        from qiskit import transpile

        return transpile(circuit, self.backend, **_TRANSPILER)

    def noisy(self, transpiled: QuantumCircuit) -> tuple[QuantumCircuit, list[int]]:
        """Adds the noise to a ``transpiled`` circuit, as superoperators.

        Returns:
            the circuit, on only the qubits that it uses, and the indices of its measured qubits. Instead of
            measurements it has the channels of their readout errors.
        """
        from qiskit import QuantumCircuit

        instructions, physical = _instructions(transpiled), used_qubits(transpiled)
        channels = self._gate_channels({(operation.name, qubits) for operation, qubits in instructions})
        circuit, measured = QuantumCircuit(len(physical)), []
        for operation, qubits in instructions:
            local = [physical.index(qubit) for qubit in qubits]
            if operation.name == "measure":
                measured += local
                channel = self._readout_channels.get(qubits)
            else:
                circuit.append(operation, local)
                channel = channels.get((operation.name, qubits))
            if channel is not None:
                circuit.append(channel, local)
        return circuit, measured

    def _gate_channels(self, gates: set[tuple[str, Qubits]]) -> Mapping[tuple[str, Qubits], Instruction]:
        """Returns the channels after some gates. For all of a processor's gates, it would take seconds."""
        from qiskit.quantum_info import SuperOp
        from qiskit.transpiler import Target
        from qiskit_aer.noise.device import basic_device_gate_errors

        whole = self.backend.target
        target = Target(num_qubits=whole.num_qubits, qubit_properties=whole.qubit_properties)
        for name in sorted({name for name, _ in gates}):
            properties = {qubits: whole[name][qubits] for other, qubits in sorted(gates) if other == name}
            target.add_instruction(whole.operation_from_name(name), properties)
        errors = basic_device_gate_errors(target=target)
        return {(name, tuple(qubits)): SuperOp(error).to_instruction() for name, qubits, error in errors}

    @cached_property
    def _readout_channels(self) -> Mapping[Qubits, Instruction]:
        """For each qubit, the channel that maps its populations to those of its reported bit."""
        from qiskit_aer.noise.device import basic_device_readout_errors

        errors = basic_device_readout_errors(target=self.backend.target)
        return {tuple(qubits): _readout_channel(np.asarray(error.probabilities)) for qubits, error in errors}


def used_qubits(transpiled: QuantumCircuit) -> list[int]:
    """Returns the physical qubits that a circuit uses, in ascending order."""
    return sorted({qubit for _, qubits in _instructions(transpiled) for qubit in qubits})


def _instructions(transpiled: QuantumCircuit) -> list[tuple[Instruction, Qubits]]:
    """Returns the instructions of a circuit, each with its physical qubits."""
    return [
        (item.operation, tuple(transpiled.find_bit(qubit).index for qubit in item.qubits))
        for item in transpiled.data
    ]


def _readout_channel(probabilities: NDArray[np.float64]) -> Instruction:
    """Returns the channel of a readout that reports j for state i with ``probabilities`` [i, j]."""
    from qiskit.quantum_info import SuperOp

    matrix = np.zeros((4, 4))  # acts on ρ stacked by columns, where the populations are entries 0 and 3
    matrix[np.ix_([0, 3], [0, 3])] = probabilities.T
    return SuperOp(matrix).to_instruction()
