"""Expectation values of a program on Aer: one circuit, with many bindings per run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.backends.aer.gates import append, begin, operator, padded, touched
from orchestrator.backends.aer.simulator import run
from orchestrator.groups import Array
from orchestrator.models.circuits.gates import GATE, NONE, Gate, Opcode, RotationAxis, Term
from orchestrator.models.circuits.program import Point, Program

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit_aer import AerSimulator

    from orchestrator.backends.aer.noise import Noise

BINDINGS = 1024
"""Bindings per run. Aer keeps the results of all bindings until the run ends."""

_ALL_AXES = (int(RotationAxis.X), int(RotationAxis.Y), int(RotationAxis.Z))


class AerProgram:
    """A program as one circuit of RX, RY, RZ, CX and CZ whose varying angles are bound at run time.

    The circuit has no controlled rotations: Aer gives them wrong angles, without a warning, if they are bound
    at run time (qiskit-aer issue 2403).

    Args:
        program: its parameters, inputs and drawn axes become angles.
        simulator: runs the circuit.
        noise: channels after every gate, and readout errors.
        live: [G] true for gates that are run.
    """

    def __init__(
        self, program: Program, simulator: AerSimulator, noise: Noise, live: NDArray[np.bool_]
    ) -> None:
        self._program, self._simulator, self._noise = program, simulator, noise
        self._gates = [Gate(*gate.item()) for gate in program.gates[live]]

    def expectation(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Returns E [R, B, K] at parameters [R, P], inputs [R, B, F] and axes [R, A]."""
        count = inputs.shape[0] * inputs.shape[1]
        point = self._program.expand(Point(parameters, inputs, axes))
        angles = self._angles(*point).reshape(count, len(self._varying))
        finite = np.isfinite(angles).all(-1)
        angles[~finite] = 0.0  # Aer's matrix product method never ends if an angle is not finite
        if self._program.amplitudes:
            values = self._run_from_amplitudes(point.inputs.reshape(count, -1), angles)
        else:
            starts = range(0, count, BINDINGS)
            values = [value for start in starts for value in self._run(angles[start : start + BINDINGS])]
        masked = np.where(finite.reshape(count, 1), values, np.nan)
        return masked.reshape(*inputs.shape[:2], self._program.outputs)

    def _run(self, angles: Array) -> list[list[float]]:
        """Returns E [N, K] of bindings [N, V] of the circuit's parameters."""
        if not len(self._varying):
            return len(angles) * self._results(1, [])
        return self._results(len(angles), [dict(zip(self._symbols, angles.T, strict=True))])

    def _run_from_amplitudes(self, amplitudes: Array, angles: Array) -> list[list[float]]:
        """Returns E [N, K] of bindings [N, V] that start from amplitudes [N, F], with a circuit for each."""
        values = []
        for start, binding in zip(padded(amplitudes, self._program.qubits), angles, strict=True):
            if not np.isfinite(start).all():
                values.append([math.nan] * self._program.outputs)
                continue
            circuit = self._circuit.copy_empty_like()
            begin(circuit, start, self._simulator.options.method)
            circuit.compose(self._circuit, inplace=True)
            binds = [dict(zip(self._symbols, binding[:, None], strict=True))] if len(binding) else []
            values.append(self._values(run(self._simulator, circuit, binds).data(0)))
        return values

    def _results(self, count: int, binds: list[Any]) -> list[list[float]]:
        result = run(self._simulator, self._circuit, binds)
        return [self._values(result.data(index)) for index in range(count)]

    def _values(self, data: dict[str, Any]) -> list[float]:
        """Returns E [K] from the numbers that a circuit saved."""
        zero = float(data["zero"][0]) if "zero" in data else 0.0
        projectors = (observable.projector for observable in self._program.observables)
        return [float(data.get(str(k), 0.0)) + projector * zero for k, projector in enumerate(projectors)]

    def _angles(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Returns the varying angles [R, B, V]."""
        gates = self._varying
        angles = np.empty((*inputs.shape[:2], len(gates)))
        angles[:] = gates["offset"]
        trained, fed = gates["parameter"] != NONE, gates["input"] != NONE
        by_row = gates["scale"][trained] * parameters[:, gates["parameter"][trained]]
        angles[..., trained] += by_row[:, None]
        angles[..., fed] += gates["scale"][fed] * inputs[..., gates["input"][fed]]
        drawn = gates["axis"] >= RotationAxis.DRAWN
        chosen = axes[:, gates["axis"][drawn] - RotationAxis.DRAWN]
        angles[..., drawn] *= (chosen == np.resize(_ALL_AXES, drawn.sum()))[:, None]
        return angles

    @cached_property
    def _varying(self) -> NDArray[np.void]:
        """[V] of ``GATE``: rotations whose angle or axis varies; those about a drawn axis three times."""
        copies = [gate for gate in self._gates if varies(gate) for _ in axes_of(gate)]
        return np.array([tuple(gate) for gate in copies], GATE)

    @cached_property
    def _symbols(self) -> Any:
        from qiskit.circuit import ParameterVector

        return ParameterVector("φ", len(self._varying))

    @cached_property
    def _circuit(self) -> QuantumCircuit:
        circuit = self._gate_circuit()
        for k, observable in enumerate(self._program.observables):
            if observable.terms:
                measured = operator(self._with_readout_errors(observable.terms), circuit.num_qubits)
                circuit.save_expectation_value(measured, circuit.qubits, label=str(k))
        if any(observable.projector for observable in self._program.observables):
            circuit.save_amplitudes_squared([0], label="zero")
        return circuit

    def _gate_circuit(self) -> QuantumCircuit:
        """Returns a circuit of the gates and the noise after them, without measurements."""
        from qiskit import QuantumCircuit

        circuit, symbols = QuantumCircuit(self._program.qubits), iter(self._symbols)
        for gate in self._gates:
            rotations = [(axis, next(symbols) if varies(gate) else gate.offset) for axis in axes_of(gate)]
            append(circuit, gate, *rotations)
            for qubit in touched(gate) if self._noise.on_gates else ():
                circuit.append(self._channel, [qubit])
        return circuit

    def _with_readout_errors(self, terms: Iterable[Term]) -> list[Term]:
        """Scales Pauli strings by 1 - 2r per qubit, as a wrong bit (probability r) flips a string's sign."""
        right = 1.0 - 2.0 * self._noise.readout
        return [term._replace(coefficient=term.coefficient * right ** _weight(term)) for term in terms]

    @cached_property
    def _channel(self) -> Any:
        """Noise after a gate, as a superoperator: Aer's noise models skip gates that they do not name."""
        from qiskit.quantum_info import SuperOp
        from qiskit_aer.noise import amplitude_damping_error, depolarizing_error

        depolarizing = SuperOp(depolarizing_error(self._noise.depolarizing, 1))
        damping = SuperOp(amplitude_damping_error(self._noise.amplitude_damping))
        return depolarizing.compose(damping).to_instruction()


def varies(gate: Gate) -> bool:
    """Returns whether a gate's angle or axis depends on a parameter, an input or a drawn axis."""
    return gate.parameter != NONE or gate.input != NONE or gate.axis >= RotationAxis.DRAWN


def axes_of(gate: Gate) -> tuple[int, ...]:
    """Returns the axes of the rotations that implement a gate.

    For a drawn axis they are all three, and two of the rotations have angle 0.
    """
    if gate.opcode != Opcode.ROTATION:
        return ()
    return _ALL_AXES if gate.axis >= RotationAxis.DRAWN else (gate.axis,)


def _weight(term: Term) -> int:
    """Returns the number of qubits that a Pauli string acts on."""
    return (term.x | term.z).bit_count()
