"""IBM's processors, as snapshots of them say they were: couplings, gates, and the errors of each."""

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

Place = tuple[int, ...]
"""The physical qubits that an instruction acts on, in its order."""

_TRANSPILER: dict[str, int] = {"optimization_level": 1, "seed_transpiler": 0}
"""Fixed, for they change which qubits and gates a circuit gets, and so its noise."""


@cache
def names() -> tuple[str, ...]:
    """The processors that there are snapshots of."""
    from qiskit.providers import BackendV2
    from qiskit_ibm_runtime import fake_provider

    members = vars(fake_provider).items()
    return tuple(sorted(name for name, item in members if _is_subclass(item, BackendV2)))


def _is_subclass(item: object, family: type) -> bool:
    return isinstance(item, type) and issubclass(item, family)


@cache
def processor(name: str) -> Processor:
    """The processor with one of the ``names``."""
    from qiskit_ibm_runtime import fake_provider

    return Processor(getattr(fake_provider, name)())


@dataclass(frozen=True, eq=False)
class Processor:
    """A processor and its noise, which is that of ``AerSimulator.from_backend``.

    Behind each gate there is a depolarising channel, and relaxation over the gate's duration; a readout is
    wrong with some probability (of the snapshots Aer takes the mean over 0 and 1). Idle qubits have no noise.

    Attributes:
        backend: the snapshot.
    """

    backend: BackendV2

    @property
    def qubits(self) -> int:
        """How many it has."""
        return int(self.backend.num_qubits)

    def transpiled(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """The circuit in the processor's own gates, on its own qubits."""
        from qiskit import transpile

        return transpile(circuit, self.backend, **_TRANSPILER)

    def noisy(self, transpiled: QuantumCircuit) -> tuple[QuantumCircuit, list[int]]:
        """A ``transpiled`` circuit on the qubits that it uses alone, its noise as superoperators.

        Returns:
            the circuit, and which of its qubits are measured; in place of the measurements it ends with
            the errors that they make.
        """
        from qiskit import QuantumCircuit

        items, qubits = _placed(transpiled), used(transpiled)
        channels = self._gate_channels({(operation.name, place) for operation, place in items})
        circuit, measured = QuantumCircuit(len(qubits)), []
        for operation, place in items:
            local = [qubits.index(qubit) for qubit in place]
            if operation.name == "measure":
                measured += local
                channel = self._readout_channels.get(place)
            else:
                circuit.append(operation, local)
                channel = channels.get((operation.name, place))
            if channel is not None:
                circuit.append(channel, local)
        return circuit, measured

    def _gate_channels(self, placed: set[tuple[str, Place]]) -> Mapping[tuple[str, Place], Instruction]:
        """What is behind some instructions; of all that there are, it would take seconds to compute."""
        from qiskit.quantum_info import SuperOp
        from qiskit.transpiler import Target
        from qiskit_aer.noise.device import basic_device_gate_errors

        whole = self.backend.target
        target = Target(num_qubits=whole.num_qubits, qubit_properties=whole.qubit_properties)
        for name in sorted({name for name, _ in placed}):
            places = {place: whole[name][place] for other, place in sorted(placed) if other == name}
            target.add_instruction(whole.operation_from_name(name), places)
        errors = basic_device_gate_errors(target=target)
        return {(name, tuple(place)): SuperOp(error).to_instruction() for name, place, error in errors}

    @cached_property
    def _readout_channels(self) -> Mapping[Place, Instruction]:
        """For each qubit, the channel that turns its populations into those of what is reported of it."""
        from qiskit_aer.noise.device import basic_device_readout_errors

        errors = basic_device_readout_errors(target=self.backend.target)
        return {tuple(place): _reported(np.asarray(error.probabilities)) for place, error in errors}


def used(transpiled: QuantumCircuit) -> list[int]:
    """The physical qubits that a circuit uses, in order."""
    return sorted({qubit for _, place in _placed(transpiled) for qubit in place})


def _placed(transpiled: QuantumCircuit) -> list[tuple[Instruction, Place]]:
    """Every instruction of a circuit, and where it acts."""
    return [
        (item.operation, tuple(transpiled.find_bit(qubit).index for qubit in item.qubits))
        for item in transpiled.data
    ]


def _reported(probabilities: NDArray[np.float64]) -> Instruction:
    """The channel of a readout that says j of state i with ``probabilities`` [i, j]."""
    from qiskit.quantum_info import SuperOp

    matrix = np.zeros((4, 4))  # on columns of ρ, one below the other: populations are 0 and 3
    matrix[np.ix_([0, 3], [0, 3])] = probabilities.T
    return SuperOp(matrix).to_instruction()
