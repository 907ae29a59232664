"""Expectation values of a program that is transpiled for a processor, with the processor's noise."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from orchestrator.backends.aer.expectation import AerProgram
from orchestrator.backends.aer.gates import operator
from orchestrator.backends.aer.noise import Noise
from orchestrator.backends.aer.processor import Processor, processor, used_qubits
from orchestrator.groups import Array
from orchestrator.models.circuits.gates import Observable, Term
from orchestrator.models.circuits.program import Program

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit_aer import AerSimulator


class ProcessorProgram:
    """A program on a processor. Each Pauli string of its observables is measured by a circuit of its own.

    Args:
        program: one without drawn axes and projectors.
        simulator: runs the circuits, as density matrices.
        name: the processor's name.
    """

    def __init__(self, program: Program, simulator: AerSimulator, name: str) -> None:
        terms = [(k, term) for k, observable in enumerate(program.observables) for term in observable.terms]
        self._constants = np.zeros(program.outputs)
        self._strings: list[tuple[int, MeasuredString]] = []
        for k, term in terms:
            if _support(term):
                self._strings.append((k, MeasuredString(program, term, simulator, processor(name))))
            else:
                self._constants[k] += term.coefficient

    def expectation(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Returns E [R, B, K] at parameters [R, P], inputs [R, B, F] and axes [R, 0]."""
        value = np.empty((*inputs.shape[:2], len(self._constants)))
        value[:] = self._constants
        for k, string in self._strings:
            value[..., k] += string.expectation(parameters, inputs, axes)[..., 0]
        return value

    @property
    def qubits(self) -> int:
        """Number of qubits of the largest circuit. Routing may use more qubits than the program has."""
        return max((string.qubits for _, string in self._strings), default=0)


class MeasuredString(AerProgram):
    """A program that measures one Pauli string instead of its observables."""

    def __init__(self, program: Program, term: Term, simulator: AerSimulator, processor: Processor) -> None:
        every_gate = np.ones(len(program.gates), np.bool_)
        super().__init__(replace(program, observables=(Observable((term,)),)), simulator, Noise(), every_gate)
        self._term, self._processor = term, processor

    @property
    def qubits(self) -> int:
        """Number of simulated qubits."""
        return len(used_qubits(self._transpiled))

    @cached_property
    def _transpiled(self) -> QuantumCircuit:
        """Transpiled before the angles are bound, so that the circuit does not depend on them."""
        return self._processor.transpiled(self._measured())

    @cached_property
    def _circuit(self) -> QuantumCircuit:
        circuit, measured = self._processor.noisy(self._transpiled)
        parity = Term(self._term.coefficient, 0, sum(1 << qubit for qubit in measured))
        observable = operator([parity], circuit.num_qubits)
        circuit.save_expectation_value(observable, circuit.qubits, label="0")
        return circuit

    def _measured(self) -> QuantumCircuit:
        """Returns a circuit of the gates, a change of basis for each X and Y, and measurements."""
        from qiskit import ClassicalRegister

        circuit, support = self._gate_circuit(), _support(self._term)
        circuit.add_register(ClassicalRegister(len(support)))
        for index, qubit in enumerate(support):
            if self._term.x & self._term.z & 1 << qubit:
                circuit.sdg(qubit)
            if self._term.x & 1 << qubit:
                circuit.h(qubit)
            circuit.measure(qubit, index)
        return circuit


@lru_cache(maxsize=64)
def simulated_qubits(program: Program, name: str) -> int:
    """Returns the number of qubits that are simulated when a program runs on the processor of that name."""
    from orchestrator.backends.aer.simulator import simulator

    return ProcessorProgram(program, simulator("CPU", "density_matrix"), name).qubits


def _support(term: Term) -> tuple[int, ...]:
    """Returns the qubits that a Pauli string acts on."""
    both = term.x | term.z
    return tuple(qubit for qubit in range(both.bit_length()) if both >> qubit & 1)
