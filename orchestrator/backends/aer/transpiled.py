"""Expectation values of a program on a processor: transpiled to it, with its noise."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from orchestrator.backends.aer.expectation import AerProgram
from orchestrator.backends.aer.gates import operator
from orchestrator.backends.aer.noise import Noise
from orchestrator.backends.aer.processor import Processor, processor, used
from orchestrator.groups import Array
from orchestrator.models.circuits.gates import Observable, Term
from orchestrator.models.circuits.program import Program

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit_aer import AerSimulator


class ProcessorProgram:
    """A program on a processor, each Pauli string of its observables by a circuit that measures it.

    Args:
        program: without drawn axes and projector.
        simulator: runs it, as density matrices.
        name: of the processor.
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
        """E [R, B, K] of parameters [R, P] on inputs [R, B, F], with axes [R, 0]."""
        value = np.empty((*inputs.shape[:2], len(self._constants)))
        value[:] = self._constants
        for k, string in self._strings:
            value[..., k] += string.expectation(parameters, inputs, axes)[..., 0]
        return value

    @property
    def qubits(self) -> int:
        """The most that a circuit of it uses: routing may need more than the program has."""
        return max((string.qubits for _, string in self._strings), default=0)


class MeasuredString(AerProgram):
    """One Pauli string, in place of the program's observables."""

    def __init__(self, program: Program, term: Term, simulator: AerSimulator, processor: Processor) -> None:
        every_gate = np.ones(len(program.gates), np.bool_)
        super().__init__(replace(program, observables=(Observable((term,)),)), simulator, Noise(), every_gate)
        self._term, self._processor = term, processor

    @property
    def qubits(self) -> int:
        """How many are simulated."""
        return len(used(self._transpiled))

    @cached_property
    def _transpiled(self) -> QuantumCircuit:
        """Before the angles are bound: one circuit, whatever they are."""
        return self._processor.transpiled(self._measured())

    @cached_property
    def _circuit(self) -> QuantumCircuit:
        circuit, measured = self._processor.noisy(self._transpiled)
        seen = Term(self._term.coefficient, 0, sum(1 << qubit for qubit in measured))
        observable = operator([seen], circuit.num_qubits)
        circuit.save_expectation_value(observable, circuit.qubits, label="0")
        return circuit

    def _measured(self) -> QuantumCircuit:
        """The program's gates, then for each X and Y a change of basis, and measurements."""
        from qiskit import ClassicalRegister

        drawn, support = self._drawn(), _support(self._term)
        drawn.add_register(ClassicalRegister(len(support)))
        for index, qubit in enumerate(support):
            if self._term.x & self._term.z & 1 << qubit:
                drawn.sdg(qubit)
            if self._term.x & 1 << qubit:
                drawn.h(qubit)
            drawn.measure(qubit, index)
        return drawn


@lru_cache(maxsize=64)
def simulated_qubits(program: Program, name: str) -> int:
    """Qubits that are simulated when a program runs on the processor of that name."""
    from orchestrator.backends.aer.simulator import simulator

    return ProcessorProgram(program, simulator("CPU", "density_matrix"), name).qubits


def _support(term: Term) -> tuple[int, ...]:
    """The qubits that a Pauli string acts on."""
    both = term.x | term.z
    return tuple(qubit for qubit in range(both.bit_length()) if both >> qubit & 1)
